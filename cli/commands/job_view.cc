#include "cli/commands/job_view.h"

#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/client/names.h"
#include "cli/client/watch.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "cli/output/words.h"
#include "common/status/error.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace scheduler = ::crossover::scheduler::v1;
using scheduler::Job;
using scheduler::JobEvent;

constexpr int kBarColumns = 24;
constexpr int64_t kMostCounted = 1000;  // by Job.queue_position

std::string WaitingText(const Job& job) {
  std::string text = EnumWord(Job::State_Name(job.state()));
  if (job.state() == Job::QUEUED) {
    absl::StrAppend(&text, job.queue_position() > 0
                               ? absl::StrCat(", ", job.queue_position(),
                                              job.queue_position() < kMostCounted ? "" : " or more",
                                              " before it")
                               : ", next");
  }
  if (!job.state_reason().empty()) absl::StrAppend(&text, ": ", PlainWords(job.state_reason()));
  return text;
}

// Events that a watching person wants as lines of their own.
bool IsNote(const JobEvent& event) {
  switch (event.type()) {
    case JobEvent::METRICS:
      return false;
    case JobEvent::MESSAGE:
    case JobEvent::VERB:
    case JobEvent::RESOLVED:
    case JobEvent::STATE_CHANGED:
    case JobEvent::LEASED:
      return event.level() >= JobEvent::WARN;
    default:
      return true;
  }
}

std::string NoteText(const Terminal& terminal, const JobEvent& event) {
  const std::string time = absl::FormatTime("%H:%M:%S", ToTime(event.time()), absl::UTCTimeZone());
  const Style style = event.level() == JobEvent::ERROR  ? Style::kBad
                      : event.level() == JobEvent::WARN ? Style::kWarning
                                                        : Style::kPlain;
  return time + "  " + Styled(terminal, style, PlainWords(event.message()));
}

void AddTraining(const scheduler::TrainingSpec& spec, Details& details) {
  if (spec.has_adapter()) {
    details.Add("adapter",
                absl::StrFormat("r %d, alpha %s, %d kinds of layers", spec.adapter().r(),
                                Number(spec.adapter().alpha()), spec.adapter().targets_size()));
  }
  if (spec.has_learning_rate()) {
    details.Add("learning rate",
                absl::StrCat(Number(spec.learning_rate()), " ",
                             EnumWord(scheduler::TrainingSpec::Schedule_Name(spec.schedule()))));
  }
  if (spec.has_batch_size()) {
    details.Add("batch", absl::StrCat(spec.batch_size(), " rows, ", Number(spec.epochs()),
                                      " epochs, ", Count(spec.steps()), " steps"));
  }
  if (spec.train_rows() > 0) {
    details.Add("rows", absl::StrCat(Count(spec.train_rows()), " train, ",
                                     Count(spec.validation_rows()), " validation"));
  }
}

void AddSweep(const scheduler::SweepSpec& spec, Details& details) {
  details.Add("trials",
              absl::StrCat(spec.trials_size(), " over ",
                           absl::StrJoin(spec.axes(), ", ",
                                         [](std::string* out, const auto& axis) {
                                           out->append(axis.field());
                                         }),
                           spec.median_stop() ? ", stopped early by the median rule" : ""));
  AddTraining(spec.base(), details);
}

}  // namespace

void AddSpec(const scheduler::JobSpec& spec, Details& details) {
  if (spec.has_training()) AddTraining(spec.training(), details);
  if (spec.has_sweep()) AddSweep(spec.sweep(), details);
}

bool IsTerminal(Job::State state) {
  return state == Job::SUCCEEDED || state == Job::FAILED || state == Job::CANCELLED;
}

std::string ProgressText(const Job& job, bool unicode) {
  const scheduler::Progress& progress = job.progress();
  const bool moving =
      job.state() == Job::RUNNING || job.state() == Job::PAUSING || job.state() == Job::CANCELLING;
  if (!moving || progress.steps() == 0) {
    return moving && !progress.phase().empty()
               ? absl::StrCat(WaitingText(job), ", ", progress.phase())
               : WaitingText(job);
  }
  const double share = static_cast<double>(progress.step()) / static_cast<double>(progress.steps());
  std::string text = absl::StrCat(Bar(share, kBarColumns, unicode), " ", Share(share), "  step ",
                                  progress.step(), "/", progress.steps());
  if (progress.has_train_loss())
    absl::StrAppend(&text, absl::StrFormat("  loss %.3f", progress.train_loss()));
  if (progress.has_valid_loss())
    absl::StrAppend(&text, absl::StrFormat("  valid %.3f", progress.valid_loss()));
  if (progress.tokens_per_second() > 0)
    absl::StrAppend(&text, "  ", Number(progress.tokens_per_second()), " tokens/s");
  if (progress.has_eta()) absl::StrAppend(&text, "  eta ", Length(progress.eta()));
  if (!progress.phase().empty() && progress.phase() != "training")
    absl::StrAppend(&text, "  (", progress.phase(), ")");
  return text;
}

absl::StatusOr<Job> FollowJob(Context& context, const Job& started) {
  auto stub = scheduler::JobService::NewStub(context.Channel());
  scheduler::WatchJobRequest request;
  request.set_name(started.name());
  Job job = started;
  ProgressLine line(context.terminal(), context.world.clock);
  const auto open = [&](grpc::ClientContext* call, const std::string& token) {
    request.set_resume_token(token);
    return stub->WatchJob(call, request);
  };
  const absl::Status status = Watch<scheduler::WatchJobResponse>(
      context, open, [&](const scheduler::WatchJobResponse& item) {
        if (context.globals.json) {
          context.terminal().out << ToJson(item, true) << std::flush;
        }
        if (item.has_event() && IsNote(item.event()) && !context.globals.json) {
          line.Note(NoteText(context.terminal(), item.event()));
        }
        if (!item.has_snapshot()) return Watching::kGoOn;
        job = item.snapshot();
        if (!context.globals.json)
          line.Update(ProgressText(job, context.terminal().err_is_terminal));
        return IsTerminal(job.state()) ? Watching::kStop : Watching::kGoOn;
      });
  line.Finish();
  if (HasReason(status, kInterrupted)) {
    const std::string id(IdOf(job.name()));
    context.terminal().err << "Detached; the job goes on.\n  come back   crossover jobs watch "
                           << id << "\n  stop it     crossover jobs cancel " << id << "\n";
  }
  if (!status.ok()) return status;
  if (IsTerminal(job.state())) return job;
  // The stream ended before the last snapshot came.
  scheduler::GetJobRequest get;
  get.set_name(job.name());
  return context.Call(stub, &scheduler::JobService::Stub::GetJob, get, true);
}

absl::Status JobOutcome(const Job& job) {
  if (job.state() == Job::SUCCEEDED) return absl::OkStatus();
  const std::string id(IdOf(job.name()));
  if (job.state() == Job::CANCELLED) {
    return Error(absl::StatusCode::kCancelled, kOutcome,
                 absl::StrCat("job ", id, " was cancelled"));
  }
  ErrorDetail detail{.reason = job.error().reason().empty() ? kOutcome : job.error().reason()};
  if (!job.error().field().empty())
    detail.violations.push_back({job.error().field(), job.error().message()});
  if (!job.error().log_tail().empty()) detail.metadata["log"] = job.error().log_tail();
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat("job ", id, " failed: ", job.error().message()), std::move(detail));
}

void AddResources(std::string name, const scheduler::Resources& resources, Details& details) {
  if (!resources.has_seconds()) return;
  details.Add(
      std::move(name),
      absl::StrCat(
          Length(resources.seconds()),
          resources.peak_memory_bytes() > 0 ? ", " + Bytes(resources.peak_memory_bytes()) : "",
          resources.tokens() > 0 ? ", " + Count(resources.tokens()) + " tokens" : "",
          Amount(resources.cost()).empty() ? "" : ", " + Amount(resources.cost())));
}

void PrintJob(Context& context, const Job& job) {
  Details details;
  details.Add("job", job.name());
  details.Add("kind", EnumWord(Job::Kind_Name(job.kind())));
  details.Add("state", EnumWord(Job::State_Name(job.state())));
  details.Add("why", PlainWords(job.state_reason()));
  details.Add("task", job.task());
  details.Add("base", job.base_model());
  details.Add("data", job.dataset_version());
  if (!IsTerminal(job.state()))
    details.Add("progress", ProgressText(job, context.terminal().out_is_terminal));
  details.Add("worker", job.worker());
  details.Add("created", Ago(job.create_time(), context.Now()));
  if (job.failure_count() + job.lease_loss_count() > 0) {
    details.Add("trouble", absl::StrCat(job.failure_count(), " failures, ", job.lease_loss_count(),
                                        " leases lost since the last progress"));
  }
  AddSpec(job.resolved_spec(), details);
  if (job.actual().has_seconds()) {
    AddResources("took", job.actual(), details);
  } else {
    AddResources("should take", job.estimate(), details);
  }
  details.Add("adapter", job.outputs().adapter());
  details.Add("model", job.outputs().model_alias());
  details.Add("artifact", job.outputs().artifact());
  details.Add("report", job.outputs().report());
  details.Add("error", PlainWords(job.error().message()));
  context.terminal().out << details.Render(context.terminal());
}

}  // namespace crossover::cli
