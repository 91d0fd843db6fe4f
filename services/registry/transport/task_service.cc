#include "services/registry/transport/task_service.h"

#include <nlohmann/json.hpp>

#include "common/list/resource_name.h"
#include "common/prompt/from_proto.h"
#include "common/rpc/request_key.h"
#include "services/registry/domain/diagnose.h"

namespace crossover::registry {
namespace {

absl::Status CheckShare(bool present, double value, const std::string& field) {
  if (!present || (value >= 0 && value <= 1)) return absl::OkStatus();
  return FieldInvalid(field, "must be between 0 and 1");
}

absl::Status CheckTask(const v1::Task& task) {
  const v1::Targets& targets = task.targets();
  RETURN_IF_ERROR(CheckShare(targets.has_score(), targets.score(), "task.targets.score"));
  RETURN_IF_ERROR(
      CheckShare(targets.has_format_valid(), targets.format_valid(), "task.targets.format_valid"));
  const v1::OutputContract& contract = task.output_contract();
  if (!contract.json_schema().empty() && !nlohmann::json::accept(contract.json_schema())) {
    return FieldInvalid("task.output_contract.json_schema", "is not valid JSON");
  }
  if (task.volume().requests_per_day() < 0 || task.volume().tokens_per_month() < 0) {
    return FieldInvalid("task.volume", "must not be negative");
  }
  for (const v1::FailureMode& mode : task.failure_modes()) {
    RETURN_IF_ERROR(list::CheckSlug(mode.name(), "task.failure_modes.name"));
  }
  return absl::OkStatus();
}

void Put(const Diagnosis& diagnosis, v1::DiagnoseTaskResponse& response) {
  for (const PromptSection& section : diagnosis.sections) {
    auto& item = *response.add_sections();
    item.set_name(section.name);
    item.set_tokens(section.tokens);
    item.set_estimated(true);
  }
  for (const CeilingSign& sign : diagnosis.signs) {
    auto& item = *response.add_ceiling_signs();
    item.set_code(sign.code);
    item.set_message(sign.message);
    item.mutable_quotes()->Assign(sign.quotes.begin(), sign.quotes.end());
  }
  for (const Remedy& remedy : diagnosis.remedies) {
    auto& item = *response.add_remedies();
    item.set_symptom(remedy.symptom);
    item.set_remedy(remedy.remedy);
    item.set_rung(remedy.rung);
  }
}

}  // namespace

absl::Status TaskServiceImpl::DoCreateTask(const v1::CreateTaskRequest& request,
                                           v1::Task& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), "projects/*", "parent"));
  RETURN_IF_ERROR(list::CheckSlug(request.task_id(), "task_id"));
  RETURN_IF_ERROR(CheckTask(request.task()));
  const ResourceKey key{Kind::kTask, parent[0], "", request.task_id()};
  ASSIGN_OR_RETURN(const RequestKey request_key,
                   rpc::RequestKeyOf(request, rpc::FieldNames::kProto));
  ASSIGN_OR_RETURN(response, tasks_.Create(key, request.task(), request_key));
  return absl::OkStatus();
}

absl::Status TaskServiceImpl::DoGetTask(const v1::GetTaskRequest& request, v1::Task& response) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kTask, request.name(), "name"));
  ASSIGN_OR_RETURN(response, tasks_.Get(key));
  return absl::OkStatus();
}

absl::Status TaskServiceImpl::DoListTasks(const v1::ListTasksRequest& request,
                                          v1::ListTasksResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), "projects/*", "parent"));
  ASSIGN_OR_RETURN(const Listed<v1::Task> listed, tasks_.List(parent[0], "",
                                                              {.page_size = request.page_size(),
                                                               .page_token = request.page_token(),
                                                               .filter = request.filter(),
                                                               .order_by = request.order_by()}));
  response.mutable_tasks()->Assign(listed.records.begin(), listed.records.end());
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status TaskServiceImpl::DoUpdateTask(const v1::UpdateTaskRequest& request,
                                           v1::Task& response) {
  ASSIGN_OR_RETURN(const ResourceKey key,
                   ParseKey(Kind::kTask, request.task().name(), "task.name"));
  ASSIGN_OR_RETURN(
      response, tasks_.Update(key, request.task(), request.update_mask(), [](const v1::Task& task) {
        if (task.state() != v1::Task::ARCHIVED) return CheckTask(task);
        return Error(absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
                     task.name() + " is ARCHIVED: it is read only");
      }));
  return absl::OkStatus();
}

absl::Status TaskServiceImpl::DoArchiveTask(const v1::ArchiveTaskRequest& request,
                                            v1::Task& response) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kTask, request.name(), "name"));
  ASSIGN_OR_RETURN(response, tasks_.Move(key, "ARCHIVED", ""));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<PromptVersion>> TaskServiceImpl::VersionFor(
    const ResourceKey& task, const v1::DiagnoseTaskRequest& request) {
  if (!request.prompt_version().empty()) {
    ASSIGN_OR_RETURN(const VersionName name,
                     ParseVersionName(request.prompt_version(), "prompt_version"));
    ASSIGN_OR_RETURN(PromptVersion version, store_.GetVersion(name.prompt, name.digest));
    return std::optional(std::move(version));
  }
  ASSIGN_OR_RETURN(const Page<Resource> prompts,
                   store_.List(Kind::kPrompt, task.project, task.id, {.limit = 2}));
  if (prompts.records.size() != 1) return std::optional<PromptVersion>();
  const PromptKey prompt{task.project, task.id, prompts.records[0].key.id};
  ASSIGN_OR_RETURN(const RegistryStore::Heads heads, store_.HeadsOf(prompt));
  const std::string digest = heads.active.empty() ? heads.latest : heads.active;
  if (digest.empty()) return std::optional<PromptVersion>();
  ASSIGN_OR_RETURN(PromptVersion version, store_.GetVersion(prompt, digest));
  return std::optional(std::move(version));
}

absl::Status TaskServiceImpl::DoDiagnoseTask(const v1::DiagnoseTaskRequest& request,
                                             v1::DiagnoseTaskResponse& response) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kTask, request.name(), "name"));
  ASSIGN_OR_RETURN(const v1::Task task, tasks_.Get(key));
  std::vector<std::string> symptoms(task.declared().symptoms().begin(),
                                    task.declared().symptoms().end());
  symptoms.insert(symptoms.end(), request.symptoms().begin(), request.symptoms().end());
  ASSIGN_OR_RETURN(const std::optional<PromptVersion> version, VersionFor(key, request));
  if (!version.has_value()) {
    Put(Diagnose(nullptr, symptoms), response);
    return absl::OkStatus();
  }
  v1::PromptSpec proto;
  RETURN_IF_ERROR(FromJson(version->spec, proto));
  ASSIGN_OR_RETURN(const prompt::PromptSpec spec, prompt::FromProto(proto));
  Put(Diagnose(&spec, symptoms), response);
  return absl::OkStatus();
}

}  // namespace crossover::registry
