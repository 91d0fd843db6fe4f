#include "services/training_scheduler/transport/job_steps.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/domain/state_machine.h"
#include "services/training_scheduler/transport/convert.h"
#include "services/training_scheduler/transport/job_query.h"
#include "services/training_scheduler/transport/step_resources.h"

namespace crossover::scheduler {
namespace {

std::string OutputOf(const Job& job) {
  if (job.kind == JobKind::kExport) return job.outputs.artifact_digest;
  if (!job.outputs.model_version.empty()) return job.outputs.model_version;
  return job.outputs.adapter_digest;
}

}  // namespace

absl::Status JobSteps::Check(const std::string& project, const std::string& resource) {
  v1::Job message;
  RETURN_IF_ERROR(ReadResource(resource, message));
  if ((message.kind() == v1::Job::EXPORT) != exports_) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 exports_ ? "kind must be EXPORT in a step of kind EXPORT"
                          : "kind must be another than EXPORT in a step of kind JOB");
  }
  RETURN_IF_ERROR(RequireOwnProject(project, message.dataset_version(), "dataset_version"));
  if (message.depends_on_size() > 0) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 "depends_on must be empty: steps run in order");
  }
  return FromProto(message, project).status();
}

absl::Status JobSteps::CheckNames(const std::string& project, const std::string& resource) {
  v1::Job message;
  RETURN_IF_ERROR(ReadResource(resource, message));
  ASSIGN_OR_RETURN(const Job draft, FromProto(message, project));
  ASSIGN_OR_RETURN(Plan plan, scheduler_.Estimate(draft));
  // A violation quotes the value that is wrong.
  const auto is_reference = [](const FieldViolation& violation) {
    return HoldsReference(violation.description);
  };
  if (!plan.violations.empty() && is_reference(plan.violations.front()))
    plan.reason = "FIELD_INVALID";  // it was that one's
  std::erase_if(plan.violations, is_reference);
  return ViolationsError(plan);
}

absl::StatusOr<std::string> JobSteps::Create(const std::string& project,
                                             const std::string& resource,
                                             const std::string& request_id) {
  v1::CreateJobRequest request;
  RETURN_IF_ERROR(ReadResource(resource, *request.mutable_job()));
  ASSIGN_OR_RETURN(Job draft, FromProto(request.job(), project));
  ASSIGN_OR_RETURN(const RequestKey key, ToRequestKey(request_id, request.job()));
  ASSIGN_OR_RETURN(Job job, scheduler_.Create(std::move(draft), key, false));
  return FormatJobName(project, job.id);
}

absl::StatusOr<StepProgress> JobSteps::Look(const std::string& name) {
  ASSIGN_OR_RETURN(JobName parsed, ParseJobName("created", name));
  ASSIGN_OR_RETURN(Job job, scheduler_.Get(parsed.project, parsed.job));
  switch (job.state) {
    case JobState::kSucceeded:
      return StepProgress{PipelineState::kSucceeded, OutputOf(job)};
    case JobState::kFailed:
      return StepProgress{PipelineState::kFailed,
                          job.error.has_value() ? job.error->message : job.state_reason};
    case JobState::kCancelled:
      return StepProgress{PipelineState::kCancelled, ""};
    case JobState::kPaused:
      return StepProgress{PipelineState::kRunning, absl::StrCat(name, " is paused; resume it")};
    default:
      return StepProgress{};
  }
}

absl::Status JobSteps::Cancel(const std::string& name) {
  ASSIGN_OR_RETURN(JobName parsed, ParseJobName("created", name));
  ASSIGN_OR_RETURN(Job job, scheduler_.Get(parsed.project, parsed.job));
  if (IsTerminal(job.state)) return absl::OkStatus();
  return scheduler_.CancelJob(parsed.project, parsed.job, "its pipeline was cancelled").status();
}

absl::StatusOr<bool> JobSteps::GoOn(const std::string& name, const std::string& request_id) {
  ASSIGN_OR_RETURN(JobName parsed, ParseJobName("created", name));
  RETURN_IF_ERROR(scheduler_.RetryJob(parsed.project, parsed.job, {request_id, name}).status());
  return true;
}

}  // namespace crossover::scheduler
