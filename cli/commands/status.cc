// crossover status: is everything there, and what does it do?
#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/commands/job_view.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/json.h"
#include "cli/output/table.h"
#include "common/status/error.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "crossover/inference/v1/inference_service.grpc.pb.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"
#include "crossover/router/v1/experiment_service.grpc.pb.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace scheduler = ::crossover::scheduler::v1;

// A service and what it says about itself in a few words.
struct Line {
  std::string service;
  absl::StatusOr<std::string> note;
};

absl::StatusOr<std::string> Registry(Context& context) {
  namespace registry = ::crossover::registry::v1;
  auto stub = registry::TaskService::NewStub(context.Channel());
  registry::ListTasksRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &registry::TaskService::Stub::ListTasks, request,
                                   [](auto& page) { return page.mutable_tasks(); }));
  return absl::StrCat(list.tasks_size(), " tasks");
}

absl::StatusOr<std::string> Curation(Context& context) {
  namespace curation = ::crossover::curation::v1;
  auto stub = curation::DatasetService::NewStub(context.Channel());
  curation::ListDatasetsRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &curation::DatasetService::Stub::ListDatasets, request,
                                   [](auto& page) { return page.mutable_datasets(); }));
  return absl::StrCat(list.datasets_size(), " data sets");
}

absl::StatusOr<std::string> Evaluation(Context& context) {
  namespace evaluation = ::crossover::evaluation::v1;
  auto stub = evaluation::EvaluationService::NewStub(context.Channel());
  evaluation::ListRunsRequest request;
  request.set_parent(context.Project());
  request.set_filter("state = RUNNING");
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &evaluation::EvaluationService::Stub::ListRuns, request,
                                   [](auto& page) { return page.mutable_runs(); }));
  return absl::StrCat(list.runs_size(), " runs under way");
}

absl::StatusOr<std::string> ModelServer(Context& context) {
  namespace inference = ::crossover::inference::v1;
  auto stub = inference::InferenceService::NewStub(context.Channel());
  ASSIGN_OR_RETURN(
      const auto list,
      context.Call(stub, &inference::InferenceService::Stub::ListLoadedModels, {}, true));
  int adapters = 0;
  for (const auto& model : list.loaded_models())
    adapters += model.kind() == inference::LoadedModel::ADAPTER ? 1 : 0;
  return absl::StrCat(list.loaded_models_size() - adapters, " bases, ", adapters,
                      " adapters in memory, ", Bytes(list.weight_bytes() + list.cache_bytes()));
}

absl::StatusOr<std::string> Router(Context& context) {
  namespace router = ::crossover::router::v1;
  auto stub = router::ExperimentService::NewStub(context.Channel());
  router::ListExperimentsRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &router::ExperimentService::Stub::ListExperiments, request,
                                   [](auto& page) { return page.mutable_experiments(); }));
  int active = 0;
  for (const auto& experiment : list.experiments()) {
    active += experiment.state() >= router::Experiment::CALIBRATING &&
                      experiment.state() <= router::Experiment::REVERSE_SHADOW
                  ? 1
                  : 0;
  }
  return absl::StrCat(active, " experiments under way");
}

// Of jobs that have not ended, what moves first.
constexpr scheduler::Job::State kOpenStates[] = {
    scheduler::Job::RUNNING, scheduler::Job::PAUSING, scheduler::Job::CANCELLING,
    scheduler::Job::QUEUED,  scheduler::Job::BLOCKED, scheduler::Job::VALIDATING,
    scheduler::Job::PAUSED};

absl::StatusOr<std::string> Scheduler(Context& context, scheduler::ListJobsResponse* jobs,
                                      scheduler::ListWorkersResponse* workers) {
  auto stub = scheduler::JobService::NewStub(context.Channel());
  std::string counts;
  for (const scheduler::Job::State state : kOpenStates) {
    scheduler::ListJobsRequest request;
    request.set_parent(context.Project());
    request.set_filter(absl::StrCat("state = ", scheduler::Job::State_Name(state)));
    ASSIGN_OR_RETURN(const auto list,
                     context.ListAll(stub, &scheduler::JobService::Stub::ListJobs, request,
                                     [](auto& page) { return page.mutable_jobs(); }));
    if (list.jobs().empty()) continue;
    absl::StrAppend(&counts, counts.empty() ? "jobs: " : ", ", list.jobs_size(), " ",
                    EnumWord(scheduler::Job::State_Name(state)));
    jobs->mutable_jobs()->MergeFrom(list.jobs());
  }
  ASSIGN_OR_RETURN(*workers, context.ListAll(stub, &scheduler::JobService::Stub::ListWorkers,
                                             scheduler::ListWorkersRequest(),
                                             [](auto& page) { return page.mutable_workers(); }));
  return absl::StrCat(counts.empty() ? "no jobs under way" : counts, "; ", workers->workers_size(),
                      " workers");
}

// "2.1 GB of 16.8 GB" of the device it trains on; without word of its use what it has.
std::string MemoryOf(const scheduler::Worker& worker) {
  if (worker.usage().devices_size() == 0) {
    return worker.capabilities().devices_size() == 0
               ? ""
               : Bytes(worker.capabilities().devices(0).memory_bytes());
  }
  const auto& device = worker.usage().devices(0);
  const std::string used = Bytes(device.memory_bytes());
  return device.memory_limit_bytes() == 0
             ? used
             : absl::StrCat(used, " of ", Bytes(device.memory_limit_bytes()));
}

std::string DeviceOf(const scheduler::Worker& worker) {
  if (worker.capabilities().devices_size() == 0) return "";
  const auto& device = worker.capabilities().devices(0);
  return device.units() == 0 ? device.kind() : absl::StrCat(device.kind(), " x ", device.units());
}

void PrintWorkers(Context& context, const scheduler::ListWorkersResponse& workers) {
  Table table({{"WORKER"},
               {"STATE"},
               {"DEVICE"},
               {"BUSY", Align::kRight},
               {"MEMORY", Align::kRight},
               {"TOKENS/S", Align::kRight},
               {"JOB"},
               {"SEEN"}});
  for (const auto& worker : workers.workers()) {
    const auto& usage = worker.usage();
    table.AddRow(
        {ShortName(worker.name()), EnumWord(scheduler::Worker::State_Name(worker.state())),
         DeviceOf(worker), usage.devices_size() > 0 ? Share(usage.devices(0).busy_ratio()) : "",
         MemoryOf(worker), usage.tokens_per_second() > 0 ? Number(usage.tokens_per_second()) : "",
         ShortName(worker.job()), Ago(worker.update_time(), context.Now())});
  }
  if (!table.empty()) context.terminal().out << "\n" << table.Render(context.terminal());
}

void PrintPeople(Context& context, const std::vector<Line>& lines,
                 const scheduler::ListJobsResponse& jobs,
                 const scheduler::ListWorkersResponse& workers) {
  std::ostream& out = context.terminal().out;
  out << "server " << context.ServerAddress() << ", " << context.Project() << "\n\n";
  Table table({{"SERVICE"}, {"STATE"}, {"", Align::kLeft, true}});
  for (const Line& line : lines) {
    table.AddRow({line.service,
                  line.note.ok() ? Styled(context.terminal(), Style::kGood, "ok")
                                 : Styled(context.terminal(), Style::kBad, "failing"),
                  line.note.ok() ? *line.note : std::string(line.note.status().message())});
  }
  out << table.Render(context.terminal());
  PrintWorkers(context, workers);
  Table job_table({{"JOB"}, {"STATE", Align::kLeft, true}});
  for (const auto& job : jobs.jobs()) {
    job_table.AddRow(
        {std::string(IdOf(job.name())), ProgressText(job, context.terminal().out_is_terminal)});
  }
  if (!job_table.empty()) out << "\n" << job_table.Render(context.terminal());
}

void PrintJsonStatus(Context& context, const std::vector<Line>& lines,
                     const scheduler::ListWorkersResponse& workers) {
  nlohmann::ordered_json status;
  status["server"] = context.ServerAddress();
  status["project"] = context.Project();
  for (const Line& line : lines) {
    const auto& note = line.note;
    status["services"][line.service] = {
        {"ok", note.ok()}, {"note", note.ok() ? *note : std::string(note.status().message())}};
  }
  status["workers"] = nlohmann::ordered_json::array();
  for (const auto& worker : workers.workers()) {
    status["workers"].push_back(nlohmann::ordered_json::parse(ToJson(worker)));
  }
  context.terminal().out << status.dump(1) << "\n";
}

absl::Status RunStatus(Context& context) {
  scheduler::ListJobsResponse jobs;
  scheduler::ListWorkersResponse workers;
  const std::vector<std::pair<std::string, std::function<absl::StatusOr<std::string>()>>> services =
      {
          {"registry", [&] { return Registry(context); }},
          {"curation", [&] { return Curation(context); }},
          {"scheduler", [&] { return Scheduler(context, &jobs, &workers); }},
          {"evaluation", [&] { return Evaluation(context); }},
          {"model server", [&] { return ModelServer(context); }},
          {"router", [&] { return Router(context); }},
      };
  std::vector<Line> lines;
  int failing = 0;
  for (const auto& [name, ask] : services) {
    lines.push_back({name, ask()});
    // Nobody there at all: one clear error instead of six.
    if (HasReason(lines.back().note.status(), kUnreachable)) return lines.back().note.status();
    failing += lines.back().note.ok() ? 0 : 1;
  }
  if (context.globals.json) {
    PrintJsonStatus(context, lines, workers);
  } else {
    PrintPeople(context, lines, jobs, workers);
  }
  if (failing == 0) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, kOutcome,
               absl::StrCat(failing, " of ", services.size(), " services are failing"));
}

}  // namespace

void AddStatus(CLI::App& app, Context& context) {
  AddCommand(app, context, "status", "Show whether every service answers, and what it does",
             "  crossover status\n  crossover status --json | jq '.services'",
             [&context] { return RunStatus(context); });
}

}  // namespace crossover::cli
