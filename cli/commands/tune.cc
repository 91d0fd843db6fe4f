// crossover tune: trains an adapter and shows how it goes.
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/commands/job_view.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "common/id/request_id.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace scheduler = ::crossover::scheduler::v1;

struct TuneOptions {
  std::string dataset;
  std::string base;
  std::string task;
  std::string suffix;
  std::string file;
  std::vector<std::string> settings;
  std::string kind = "sft";
  std::vector<std::string> axes;
  std::string request_id;
  int priority = 0;
  int workers = 1;
  bool detach = false;
  bool estimate = false;
};

scheduler::Job::Kind TunedKindOf(const std::string& name) {
  if (name == "preference") return scheduler::Job::PREFERENCE;
  return name == "distil" ? scheduler::Job::DISTIL : scheduler::Job::SFT;
}

// FIELD=VALUE,VALUE,… as an axis of a sweep. A value that is no JSON is taken as its text.
absl::Status AddAxis(const std::string& text, scheduler::SweepSpec& sweep) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    return UsageError(absl::StrCat("--sweep ", text, ": give FIELD=VALUE,VALUE"));
  }
  scheduler::SweepSpec::Axis& axis = *sweep.add_axes();
  axis.set_field(text.substr(0, equals));
  for (const std::string& value :
       std::vector<std::string>(absl::StrSplit(text.substr(equals + 1), ','))) {
    const bool is_json = nlohmann::json::accept(value);
    axis.add_values(is_json ? value : nlohmann::json(value).dump());
  }
  return absl::OkStatus();
}

absl::StatusOr<scheduler::CreateJobRequest> BuildTuneRequest(Context& context,
                                                             const TuneOptions& options) {
  const absl::Status id = CheckRequestId(options.request_id);
  if (!id.ok()) return UsageError(ToStd(id.message()));
  scheduler::CreateJobRequest request;
  request.set_parent(context.Project());
  request.set_request_id(options.request_id.empty() ? context.RequestId() : options.request_id);
  scheduler::Job& job = *request.mutable_job();
  job.set_base_model(options.base);
  job.set_priority(options.priority);
  if (options.workers > 1) job.mutable_requirements()->set_gang_size(options.workers);
  const bool sweep = !options.axes.empty();
  job.set_kind(sweep ? scheduler::Job::SWEEP : TunedKindOf(options.kind));
  if (sweep) job.mutable_spec()->mutable_sweep()->set_objective(TunedKindOf(options.kind));
  for (const std::string& axis : options.axes) {
    RETURN_IF_ERROR(AddAxis(axis, *job.mutable_spec()->mutable_sweep()));
  }
  scheduler::TrainingSpec& spec = sweep ? *job.mutable_spec()->mutable_sweep()->mutable_base()
                                        : *job.mutable_spec()->mutable_training();
  if (!options.file.empty()) RETURN_IF_ERROR(ReadSpecFile(options.file, &spec));
  RETURN_IF_ERROR(ApplyAssignments(options.settings, &spec));
  if (!options.suffix.empty()) spec.set_suffix(options.suffix);
  if (!options.task.empty()) {
    ASSIGN_OR_RETURN(*job.mutable_task(), ExistingTaskName(context, options.task));
  }
  ASSIGN_OR_RETURN(*job.mutable_dataset_version(), DatasetVersionName(context, options.dataset));
  return request;
}

// The error that making the job would end in; OK when it would be made.
absl::Status Refusal(const scheduler::EstimateJobResponse& answer) {
  if (answer.violations().empty()) return absl::OkStatus();
  const std::string& reason = answer.violations(0).reason();
  ErrorDetail detail{.reason = reason.empty() ? "FIELD_INVALID" : reason};
  for (const auto& violation : answer.violations())
    detail.violations.push_back({violation.field(), violation.description()});
  return Error(absl::StatusCode::kInvalidArgument, "the job would be refused", std::move(detail));
}

// What the job would take, without making it.
absl::Status Estimate(Context& context, std::unique_ptr<scheduler::JobService::Stub>& stub,
                      const scheduler::CreateJobRequest& request) {
  scheduler::EstimateJobRequest question;
  question.set_parent(request.parent());
  *question.mutable_job() = request.job();
  ASSIGN_OR_RETURN(const scheduler::EstimateJobResponse answer,
                   context.Call(stub, &scheduler::JobService::Stub::EstimateJob, question, true));
  RETURN_IF_ERROR(Refusal(answer));
  if (context.PrintedJson(answer)) return absl::OkStatus();
  Details details;
  AddResources("should take", answer.estimate(), details);
  AddSpec(answer.resolved_spec(), details);
  for (const std::string& warning : answer.warnings()) details.Add("note", warning);
  context.terminal().out << details.Render(context.terminal());
  return absl::OkStatus();
}

absl::Status RunTune(Context& context, const TuneOptions& options) {
  ASSIGN_OR_RETURN(const scheduler::CreateJobRequest request, BuildTuneRequest(context, options));
  auto stub = scheduler::JobService::NewStub(context.Channel());
  if (options.estimate) return Estimate(context, stub, request);
  ASSIGN_OR_RETURN(scheduler::Job job,
                   context.Call(stub, &scheduler::JobService::Stub::CreateJob, request, true));
  if (options.detach) {
    if (!context.PrintedJson(job)) PrintJob(context, job);
    return absl::OkStatus();
  }
  if (!context.globals.json) {
    std::string estimate;
    if (job.estimate().has_seconds()) estimate = ", about " + Length(job.estimate().seconds());
    context.terminal().err << "job " << IdOf(job.name()) << estimate << "; Ctrl-C detaches\n";
  }
  auto ended = FollowJob(context, job);
  if (HasReason(ended.status(), kInterrupted)) return absl::OkStatus();
  RETURN_IF_ERROR(ended.status());
  if (!context.globals.json) {
    PrintJob(context, *ended);
    if (!ended->outputs().model_alias().empty()) {
      context.terminal().out << "\nnext: crossover evaluate SUITE --system adapter="
                             << ended->outputs().model_alias() << "\n";
    }
  }
  return JobOutcome(*ended);
}

}  // namespace

void AddTune(CLI::App& app, Context& context) {
  auto options = std::make_shared<TuneOptions>();
  CLI::App* command = AddCommand(
      app, context, "tune", "Train a LoRA adapter on a sealed data set, with live progress",
      "  crossover tune support-rows --base smollm2-135m-instruct --suffix support\n"
      "  crossover tune support-rows --base smollm2-135m-instruct --estimate\n"
      "  crossover tune support-pairs --kind preference --base smollm2-135m-instruct\n"
      "  crossover tune support-rows --base smollm2-135m-instruct --sweep "
      "learning_rate=3e-4,1e-3 --sweep adapter.r=8,32\n"
      "  crossover tune support-rows@3f2a --base smollm2-135m-instruct --set epochs=1 --set "
      "adapter.r=32\n"
      "Fields of --set and --file are those of TrainingSpec "
      "(protos/crossover/scheduler/v1/job.proto).",
      [&context, options] { return RunTune(context, *options); });
  command
      ->add_option("dataset", options->dataset,
                   "DATASET[@VERSION]; without @ the newest sealed version")
      ->required();
  command->add_option("--base", options->base, "Base model: slug, name or digest")->required();
  command->add_option("--task", options->task, "Task the adapter is for");
  command->add_option("--suffix", options->suffix, "Last part of the adapter's name");
  command->add_option("--file", options->file, "YAML file with training settings")
      ->check(CLI::ExistingFile);
  AddSet(command, context, options->settings, scheduler::TrainingSpec::descriptor(),
         "FIELD=VALUE of the training settings; may be given again");
  command
      ->add_option("--kind", options->kind,
                   "sft: the rows' answers; preference: DPO on rows with `rejected`; distil: rows "
                   "with a teacher's `logprobs`")
      ->check(CLI::IsMember({"sft", "preference", "distil"}))
      ->capture_default_str();
  command->add_option("--sweep", options->axes,
                      "FIELD=VALUE,VALUE to try; may be given again for a grid. The adapter with "
                      "the best validation loss is the result");
  command->add_option("--priority", options->priority, "-100 to 100, higher is earlier")
      ->check(CLI::Range(-100, 100));
  command
      ->add_option("--workers", options->workers,
                   "Workers (of --max-gang and --gang-address) that train it together")
      ->check(CLI::Range(1, 64));
  command->add_option("--request-id", options->request_id, "UUID that makes a repeat harmless");
  command->add_flag("--estimate,--validate-only", options->estimate, "Check and estimate only");
  command->add_flag("-d,--detach", options->detach, "Do not wait");
}

}  // namespace crossover::cli
