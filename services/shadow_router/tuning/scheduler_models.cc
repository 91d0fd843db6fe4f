#include "services/shadow_router/tuning/scheduler_models.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/context/request_context.h"
#include "common/id/uuid7.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::router {
namespace {

using scheduler_pb::ModelVersion;
using ModelsStub = scheduler_pb::ModelService::Stub;

constexpr absl::Duration kModelFreshFor = absl::Seconds(10);
constexpr size_t kMaxKnownModels = 10'000;
constexpr char kCheckpointMark[] = ":ckpt-step-";

absl::Status NoModel(const std::string& model) {
  return Error(
      absl::StatusCode::kNotFound,
      absl::StrCat("The model '", model, "' does not exist or you do not have access to it"),
      {.reason = "MODEL_NOT_FOUND",
       .metadata = {},
       .violations = {{"model", "is no route, base model or fine-tuned model"}}});
}

bool IsFineTuned(const std::string& model) { return absl::StartsWith(model, "ft:"); }

absl::StatusOr<ModelVersion> VersionOf(TuningBackend& backend, const std::string& project,
                                       const std::string& alias) {
  scheduler_pb::GetModelVersionRequest request;
  request.set_name(absl::StrCat(project, "/models/-/versions/", alias));
  return rpc::Invoke(*backend.models, &ModelsStub::GetModelVersion, request, Repeatable());
}

}  // namespace

absl::StatusOr<std::string> SchedulerModels::AskCheckpoint(const std::string& project,
                                                           const std::string& model,
                                                           size_t step_at) {
  const std::string tuned = model.substr(0, step_at);
  const std::string step = model.substr(step_at + sizeof(kCheckpointMark) - 1);
  // The last part is the job's id, or the eight characters of it in a finished job's alias.
  std::string job = tuned.substr(tuned.rfind(':') + 1);
  if (!ParseId(job).ok()) {
    ASSIGN_OR_RETURN(const ModelVersion version, VersionOf(backend_, project, tuned));
    job = version.source_job().substr(version.source_job().rfind('/') + 1);
  }
  scheduler_pb::GetCheckpointRequest request;
  request.set_name(absl::StrCat(project, "/jobs/", job, "/checkpoints/", step));
  ASSIGN_OR_RETURN(const scheduler_pb::Checkpoint checkpoint,
                   rpc::Invoke(*backend_.jobs, &scheduler_pb::JobService::Stub::GetCheckpoint,
                               request, Repeatable()));
  if (checkpoint.adapter_digest().empty()) return NoModel(model);
  return checkpoint.adapter_digest();
}

absl::StatusOr<std::string> SchedulerModels::Ask(const std::string& project,
                                                 const std::string& model) {
  if (IsFineTuned(model)) {
    const size_t step_at = model.rfind(kCheckpointMark);
    if (step_at != std::string::npos) return AskCheckpoint(project, model, step_at);
    RETURN_IF_ERROR(VersionOf(backend_, project, model).status());
    return model;
  }
  scheduler_pb::GetModelRequest request;
  request.set_name(absl::StrCat(project, "/models/", model));
  ASSIGN_OR_RETURN(const scheduler_pb::Model found,
                   rpc::Invoke(*backend_.models, &ModelsStub::GetModel, request, Repeatable()));
  // Adapters have one name only: their ft:… one, which says what they rest on.
  return found.kind() == ModelVersion::BASE ? absl::StatusOr<std::string>(model) : NoModel(model);
}

absl::StatusOr<std::string> SchedulerModels::Find(const std::string& project,
                                                  const std::string& model) {
  if (model.empty() || model.find('/') != std::string::npos) return NoModel(model);
  std::optional<Known> known;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = known_.find({project, model});
    if (found != known_.end()) known = found->second;
  }
  if (known.has_value() && known->fresh_until > backend_.clock.SteadyNow()) return known->target;
  absl::StatusOr<std::string> target = Ask(project, model);
  if (absl::IsNotFound(target.status()) || absl::IsInvalidArgument(target.status())) {
    target = NoModel(model);
  } else if (!target.ok() && known.has_value()) {
    return known->target;
  }
  absl::MutexLock lock(&mutex_);
  if (!target.ok()) {
    known_.erase({project, model});
    return target;
  }
  if (known_.size() >= kMaxKnownModels) known_.clear();
  known_[{project, model}] = {*target, backend_.clock.SteadyNow() + kModelFreshFor};
  return target;
}

absl::StatusOr<std::vector<LocalModelInfo>> SchedulerModels::List(const std::string& project) {
  std::vector<LocalModelInfo> models;
  scheduler_pb::ListModelVersionsRequest request;
  request.set_parent(absl::StrCat(project, "/models/-"));
  request.set_page_size(1000);
  do {
    ASSIGN_OR_RETURN(
        const scheduler_pb::ListModelVersionsResponse page,
        rpc::Invoke(*backend_.models, &ModelsStub::ListModelVersions, request, Repeatable()));
    for (const ModelVersion& version : page.model_versions()) {
      const bool tuned = version.kind() == ModelVersion::ADAPTER && IsFineTuned(version.alias());
      if (!tuned && version.kind() != ModelVersion::BASE) continue;
      const std::vector<std::string> parts = absl::StrSplit(version.name(), '/');
      const std::string id = tuned ? version.alias() : parts.size() > 3 ? parts[3] : "";
      const bool listed = std::any_of(models.begin(), models.end(),
                                      [&](const LocalModelInfo& known) { return known.id == id; });
      if (!listed) models.push_back({id, absl::FromUnixSeconds(version.create_time().seconds())});
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return models;
}

absl::Status SchedulerModels::Delete(const std::string& project, const std::string& model) {
  if (!IsFineTuned(model)) {
    return Error(
        absl::StatusCode::kPermissionDenied,
        absl::StrCat("'", model, "' is no fine-tuned model; only those can be deleted here"),
        {.reason = "RESOURCE_FORBIDDEN",
         .metadata = {},
         .violations = {{"model", "must be the name of a fine-tuned model"}}});
  }
  const absl::StatusOr<ModelVersion> version = VersionOf(backend_, project, model);
  if (absl::IsNotFound(version.status())) return NoModel(model);
  RETURN_IF_ERROR(version.status());
  scheduler_pb::DeleteModelVersionRequest request;
  request.set_name(version->name());
  RETURN_IF_ERROR(rpc::Invoke(*backend_.models, &ModelsStub::DeleteModelVersion, request).status());
  absl::MutexLock lock(&mutex_);
  known_.erase({project, model});
  return absl::OkStatus();
}

}  // namespace crossover::router
