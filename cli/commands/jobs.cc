// crossover jobs: what the scheduler works on.
#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/client/names.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/commands/job_view.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/words.h"
#include "common/status/error.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace scheduler = ::crossover::scheduler::v1;
using JobsStub = scheduler::JobService::Stub;

struct JobsOptions {
  std::string job;
  std::vector<std::string> others;  // to compare with
  std::string filter;
  std::string state;
  std::string reason;
  int limit = 50;
  bool events = false;
};

std::string ProgressCell(const scheduler::Job& job) {
  if (job.progress().steps() == 0) return "";
  return absl::StrCat(job.progress().step(), "/", job.progress().steps());
}

absl::Status ListJobs(Context& context, const JobsOptions& options) {
  auto stub = scheduler::JobService::NewStub(context.Channel());
  scheduler::ListJobsRequest request;
  request.set_parent(context.Project());
  request.set_filter(options.filter);
  if (!options.state.empty()) {
    std::string state = options.state;
    absl::AsciiStrToUpper(&state);
    request.set_filter(
        absl::StrCat(options.filter, options.filter.empty() ? "" : " AND ", "state = ", state));
  }
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(
                       stub, &JobsStub::ListJobs, request,
                       [](auto& page) { return page.mutable_jobs(); }, options.limit));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"JOB"},
               {"KIND"},
               {"STATE"},
               {"STEP", Align::kRight},
               {"ETA", Align::kRight},
               {"BASE", Align::kLeft, true},
               {"DATA", Align::kLeft, true},
               {"CREATED"},
               {"WHY", Align::kLeft, true}});
  for (const scheduler::Job& job : list.jobs()) {
    table.AddRow(
        {std::string(IdOf(job.name())), EnumWord(scheduler::Job::Kind_Name(job.kind())),
         EnumWord(scheduler::Job::State_Name(job.state())), ProgressCell(job),
         job.state() == scheduler::Job::RUNNING && job.progress().has_eta()
             ? Length(job.progress().eta())
             : "",
         ShortName(job.base_model()), ShortName(job.dataset_version()),
         Ago(job.create_time(), context.Now()),
         PlainWords(job.error().message().empty() ? job.state_reason() : job.error().message())});
  }
  context.terminal().out << (table.empty() ? "no jobs\n" : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::StatusOr<scheduler::Job> GetJob(Context& context, const JobsOptions& options) {
  auto stub = scheduler::JobService::NewStub(context.Channel());
  scheduler::GetJobRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), JobName(context, options.job));
  return context.Call(stub, &JobsStub::GetJob, request, true);
}

absl::Status ShowJob(Context& context, const JobsOptions& options) {
  ASSIGN_OR_RETURN(const scheduler::Job job, GetJob(context, options));
  if (!options.events) {
    if (!context.PrintedJson(job)) PrintJob(context, job);
    return absl::OkStatus();
  }
  auto stub = scheduler::JobService::NewStub(context.Channel());
  scheduler::ListJobEventsRequest request;
  request.set_parent(job.name());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &JobsStub::ListJobEvents, request,
                                   [](auto& page) { return page.mutable_events(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table(
      {{"#", Align::kRight}, {"TIME"}, {"LEVEL"}, {"EVENT"}, {"MESSAGE", Align::kLeft, true}});
  for (const scheduler::JobEvent& event : list.events()) {
    table.AddRow({absl::StrCat(event.sequence()), Moment(event.time()),
                  EnumWord(scheduler::JobEvent::Level_Name(event.level())),
                  EnumWord(scheduler::JobEvent::Type_Name(event.type())), event.message()});
  }
  context.terminal().out << table.Render(context.terminal());
  return absl::OkStatus();
}

// Verbs that take a name and perhaps a reason, and return the job.
template <typename Request>
absl::Status JobVerb(Context& context, const JobsOptions& options,
                     grpc::Status (JobsStub::*method)(grpc::ClientContext*, const Request&,
                                                      scheduler::Job*)) {
  auto stub = scheduler::JobService::NewStub(context.Channel());
  Request request;
  ASSIGN_OR_RETURN(*request.mutable_name(), JobName(context, options.job));
  if constexpr (requires { request.set_reason(options.reason); })
    request.set_reason(options.reason);
  if constexpr (requires { request.set_request_id(options.reason); })
    request.set_request_id(context.RequestId());
  ASSIGN_OR_RETURN(const scheduler::Job job, context.Call(stub, method, request, true));
  if (context.PrintedJson(job)) return absl::OkStatus();
  context.terminal().out << "job " << IdOf(job.name()) << " is "
                         << EnumWord(scheduler::Job::State_Name(job.state())) << "\n";
  return absl::OkStatus();
}

absl::Status WatchJob(Context& context, const JobsOptions& options) {
  ASSIGN_OR_RETURN(const scheduler::Job job, GetJob(context, options));
  auto ended = FollowJob(context, job);
  if (HasReason(ended.status(), kInterrupted)) return absl::OkStatus();
  RETURN_IF_ERROR(ended.status());
  if (!context.globals.json) PrintJob(context, *ended);
  return JobOutcome(*ended);
}

// What its workers wrote last.
absl::Status PrintLog(Context& context, const JobsOptions& options) {
  ASSIGN_OR_RETURN(const scheduler::Job job, GetJob(context, options));
  if (context.globals.json) {
    (void)context.PrintedJson(job);
    return absl::OkStatus();
  }
  const std::string& log = job.log_tail().empty() ? job.error().log_tail() : job.log_tail();
  context.terminal().out << (log.empty() ? "no worker has written anything\n" : log);
  return absl::OkStatus();
}

std::string LossCell(const scheduler::MetricPoint& point, bool valid) {
  const bool has = valid ? point.has_valid_loss() : point.has_train_loss();
  return has ? Number(valid ? point.valid_loss() : point.train_loss()) : "";
}

std::string SpikeCell(const scheduler::CompareJobsResponse::Column& column) {
  if (column.spikes_size() == 0) return "none";
  std::string text = absl::StrCat("step ", column.spikes(0).step());
  for (int i = 1; i < column.spikes_size() && i < 3; ++i) {
    absl::StrAppend(&text, ", ", column.spikes(i).step());
  }
  if (column.spikes_size() > 3) absl::StrAppend(&text, " and ", column.spikes_size() - 3, " more");
  return text;
}

// Where the jobs' specs differ, how they ended, and their losses side by side.
absl::Status CompareJobs(Context& context, const JobsOptions& options) {
  auto stub = scheduler::JobService::NewStub(context.Channel());
  scheduler::CompareJobsRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(*request.add_names(), JobName(context, options.job));
  for (const std::string& other : options.others) {
    ASSIGN_OR_RETURN(*request.add_names(), JobName(context, other));
  }
  ASSIGN_OR_RETURN(const scheduler::CompareJobsResponse comparison,
                   context.Call(stub, &JobsStub::CompareJobs, request, true));
  if (context.PrintedJson(comparison)) return absl::OkStatus();
  Table jobs({{"JOB"},
              {"STEP", Align::kRight},
              {"LOSS", Align::kRight},
              {"BEST VALID", Align::kRight},
              {"AT", Align::kRight},
              {"TOOK", Align::kRight},
              {"SPIKES"}});
  std::vector<Column> fields = {{"FIELD"}};
  std::vector<Column> losses = {{"STEP", Align::kRight}};
  for (const auto& column : comparison.columns()) {
    const std::string id(IdOf(column.name()));
    fields.push_back({id, Align::kLeft, true});
    losses.push_back({id, Align::kRight});
    jobs.AddRow({id, absl::StrCat(column.last().step()), LossCell(column.last(), false),
                 LossCell(column.best(), true),
                 column.has_best() ? absl::StrCat(column.best().step()) : "",
                 Length(column.actual().seconds()), SpikeCell(column)});
  }
  Table differences(std::move(fields));
  for (const auto& difference : comparison.differences()) {
    std::vector<std::string> cells = {difference.field()};
    cells.insert(cells.end(), difference.values().begin(), difference.values().end());
    differences.AddRow(std::move(cells));
  }
  Table curve(std::move(losses));
  // Ten lines tell people what a hundred tell programs.
  const int stride = std::max(1, (comparison.losses_size() + 9) / 10);
  for (int i = (comparison.losses_size() - 1) % stride; i < comparison.losses_size(); i += stride) {
    const auto& row = comparison.losses(i);
    std::vector<std::string> cells = {absl::StrCat(row.step())};
    for (int job = 0; job < row.train_losses_size(); ++job) {
      const double difference = row.differences(job);
      const std::string against = job == 0 ? "" : absl::StrFormat(" (%+.3f)", difference);
      cells.push_back(Number(row.train_losses(job)) + against);
    }
    curve.AddRow(std::move(cells));
  }
  std::ostream& out = context.terminal().out;
  out << jobs.Render(context.terminal()) << "\n"
      << (differences.empty() ? "the specs are the same\n"
                              : differences.Render(context.terminal()));
  if (!curve.empty()) out << "\n" << curve.Render(context.terminal());
  return absl::OkStatus();
}

}  // namespace

void AddJobs(CLI::App& app, Context& context) {
  auto options = std::make_shared<JobsOptions>();
  CLI::App* group = AddGroup(app, "jobs", "Training and export jobs");
  CLI::App* list = AddCommand(
      *group, context, "list", "List jobs, newest first",
      "  crossover jobs list --state running\n"
      "  crossover jobs list --filter 'labels.team = \"search\"' --json | jq '.jobs[].name'",
      [&context, options] { return ListJobs(context, *options); });
  list->add_option("--state", options->state, "Only jobs in this state");
  list->add_option("--filter", options->filter, "AIP-160 filter over the job's fields");
  list->add_option("--limit", options->limit, "Most jobs; 0 = all")->capture_default_str();

  const auto with_job = [&](const std::string& name, const std::string& about,
                            std::function<absl::Status()> run) {
    CLI::App* command = AddCommand(*group, context, name, about, "", std::move(run));
    command->add_option("job", options->job, "Id or name")->required();
    return command;
  };
  with_job("show", "Show a job", [&context, options] {
    return ShowJob(context, *options);
  })->add_flag("--events", options->events, "Show its events");
  with_job("logs", "Show what its workers wrote last",
           [&context, options] { return PrintLog(context, *options); });
  with_job("compare", "Compare jobs: specs, losses at equal steps, spikes",
           [&context, options] { return CompareJobs(context, *options); })
      ->add_option("others", options->others, "Jobs to compare it with")
      ->required();
  with_job("watch", "Follow a job until it ends",
           [&context, options] { return WatchJob(context, *options); });
  with_job("cancel", "Stop a job; what it has is kept as a checkpoint", [&context, options] {
    return JobVerb(context, *options, &JobsStub::CancelJob);
  })->add_option("--reason", options->reason, "Kept in the job's events");
  with_job("pause", "Make room; it goes on from a checkpoint", [&context, options] {
    return JobVerb(context, *options, &JobsStub::PauseJob);
  })->add_option("--reason", options->reason, "Kept in the job's events");
  with_job("resume", "Queue a paused job again",
           [&context, options] { return JobVerb(context, *options, &JobsStub::ResumeJob); });
  with_job("retry", "Queue a failed job again, from its last checkpoint",
           [&context, options] { return JobVerb(context, *options, &JobsStub::RetryJob); });
}

}  // namespace crossover::cli
