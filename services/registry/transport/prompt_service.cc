#include "services/registry/transport/prompt_service.h"

#include <utility>

#include "common/list/resource_name.h"
#include "common/prompt/from_proto.h"
#include "common/rpc/request_key.h"
#include "services/registry/transport/prompt_convert.h"

namespace crossover::registry {
namespace {

std::optional<std::string> VersionField(const PromptVersion& version, const std::string& field) {
  if (field == "state") return std::string(Name(version.state));
  if (field == "digest") return version.digest;
  if (field.rfind("labels.", 0) != 0) return std::nullopt;
  const auto label = version.labels.find(field.substr(7));
  return label == version.labels.end() ? std::nullopt : std::optional(label->second);
}

// The record of a version that is to be stored; its spec must be one that can be read.
absl::StatusOr<PromptVersion> RecordOf(const PromptKey& prompt, const v1::PromptVersion& proto) {
  RETURN_IF_ERROR(CheckLabels(proto.labels()));
  RETURN_IF_ERROR(prompt::FromProto(proto.spec()).status());
  PromptVersion version{.prompt = prompt,
                        .labels = {proto.labels().begin(), proto.labels().end()},
                        .note = proto.note()};
  ASSIGN_OR_RETURN(version.spec, ToJson(proto.spec()));
  if (proto.parent().empty()) return version;
  ASSIGN_OR_RETURN(const VersionName parent,
                   ParseVersionName(proto.parent(), "prompt_version.parent"));
  const bool same = parent.prompt.project == prompt.project && parent.prompt.task == prompt.task &&
                    parent.prompt.prompt == prompt.prompt;
  if (!same) return FieldInvalid("prompt_version.parent", "must be a version of the same prompt");
  version.parent = parent.digest;
  return version;
}

}  // namespace

absl::Status PromptServiceImpl::PutHeads(v1::Prompt& prompt) {
  ASSIGN_OR_RETURN(const PromptKey key, ParsePromptKey(prompt.name(), "name"));
  ASSIGN_OR_RETURN(const RegistryStore::Heads heads, store_.HeadsOf(key));
  if (!heads.active.empty()) prompt.set_active_version(VersionNameOf(key, heads.active));
  if (!heads.latest.empty()) prompt.set_latest_version(VersionNameOf(key, heads.latest));
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoCreatePrompt(const v1::CreatePromptRequest& request,
                                               v1::Prompt& response) {
  ASSIGN_OR_RETURN(const ResourceKey task, ParseKey(Kind::kTask, request.parent(), "parent"));
  RETURN_IF_ERROR(list::CheckSlug(request.prompt_id(), "prompt_id"));
  const ResourceKey key{Kind::kPrompt, task.project, task.id, request.prompt_id()};
  ASSIGN_OR_RETURN(const RequestKey request_key,
                   rpc::RequestKeyOf(request, rpc::FieldNames::kProto));
  ASSIGN_OR_RETURN(response, prompts_.Create(key, request.prompt(), request_key));
  return PutHeads(response);
}

absl::Status PromptServiceImpl::DoGetPrompt(const v1::GetPromptRequest& request,
                                            v1::Prompt& response) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kPrompt, request.name(), "name"));
  ASSIGN_OR_RETURN(response, prompts_.Get(key));
  return PutHeads(response);
}

absl::Status PromptServiceImpl::DoListPrompts(const v1::ListPromptsRequest& request,
                                              v1::ListPromptsResponse& response) {
  ASSIGN_OR_RETURN(const ResourceKey task, ParseKey(Kind::kTask, request.parent(), "parent"));
  ASSIGN_OR_RETURN(const Listed<v1::Prompt> listed,
                   prompts_.List(task.project, task.id,
                                 {.page_size = request.page_size(),
                                  .page_token = request.page_token(),
                                  .filter = request.filter(),
                                  .order_by = request.order_by()}));
  for (const v1::Prompt& prompt : listed.records) {
    v1::Prompt& item = *response.add_prompts();
    item = prompt;
    RETURN_IF_ERROR(PutHeads(item));
  }
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoUpdatePrompt(const v1::UpdatePromptRequest& request,
                                               v1::Prompt& response) {
  ASSIGN_OR_RETURN(const ResourceKey key,
                   ParseKey(Kind::kPrompt, request.prompt().name(), "prompt.name"));
  ASSIGN_OR_RETURN(response, prompts_.Update(key, request.prompt(), request.update_mask()));
  return PutHeads(response);
}

absl::Status PromptServiceImpl::DoDeletePrompt(const v1::DeletePromptRequest& request,
                                               google::protobuf::Empty&) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kPrompt, request.name(), "name"));
  return prompts_.Delete(key, request.etag());
}

absl::StatusOr<PromptVersion> PromptServiceImpl::Find(const std::string& name,
                                                      std::string_view field) {
  ASSIGN_OR_RETURN(const VersionName version, ParseVersionName(name, field));
  return store_.GetVersion(version.prompt, version.digest);
}

absl::Status PromptServiceImpl::DoCreatePromptVersion(const v1::CreatePromptVersionRequest& request,
                                                      v1::PromptVersion& response) {
  ASSIGN_OR_RETURN(const PromptKey prompt, ParsePromptKey(request.parent(), "parent"));
  ASSIGN_OR_RETURN(PromptVersion version, RecordOf(prompt, request.prompt_version()));
  // A version is named by its content, which makes the call repeatable without a request_id.
  ASSIGN_OR_RETURN(version, registry_.Create(std::move(version), request.validate_only()));
  ASSIGN_OR_RETURN(response, ToProto(version));
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoGetPromptVersion(const v1::GetPromptVersionRequest& request,
                                                   v1::PromptVersion& response) {
  ASSIGN_OR_RETURN(const PromptVersion version, Find(request.name(), "name"));
  ASSIGN_OR_RETURN(response, ToProto(version));
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoListPromptVersions(const v1::ListPromptVersionsRequest& request,
                                                     v1::ListPromptVersionsResponse& response) {
  ASSIGN_OR_RETURN(const PromptKey prompt, ParsePromptKey(request.parent(), "parent"));
  ASSIGN_OR_RETURN(const Listed<PromptVersion> listed,
                   ListFiltered<PromptVersion>(
                       {request.parent(), request.page_size(), request.page_token(),
                        request.filter(), request.order_by()},
                       {"state", "digest", "labels.*"},
                       [&](const PageQuery& query) { return store_.ListVersions(prompt, query); },
                       VersionField));
  for (const PromptVersion& version : listed.records) {
    ASSIGN_OR_RETURN(*response.add_prompt_versions(), ToProto(version));
  }
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoActivatePromptVersion(
    const v1::ActivatePromptVersionRequest& request, v1::PromptVersion& response) {
  ASSIGN_OR_RETURN(const VersionName name, ParseVersionName(request.name(), "name"));
  if (!request.evaluation().empty()) {
    RETURN_IF_ERROR(ParseScoped(request.evaluation(), "projects/*/runs/*", "evaluation").status());
  }
  ASSIGN_OR_RETURN(const PromptVersion version,
                   registry_.Activate(name.prompt, name.digest, request.evaluation(),
                                      request.override_reason()));
  ASSIGN_OR_RETURN(response, ToProto(version));
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoRollbackPrompt(const v1::RollbackPromptRequest& request,
                                                 v1::PromptVersion& response) {
  ASSIGN_OR_RETURN(const PromptKey prompt, ParsePromptKey(request.name(), "name"));
  std::string digest;
  if (!request.version().empty()) {
    ASSIGN_OR_RETURN(const VersionName version, ParseVersionName(request.version(), "version"));
    digest = version.digest;
  }
  ASSIGN_OR_RETURN(const PromptVersion version,
                   registry_.Rollback(prompt, digest, request.reason()));
  ASSIGN_OR_RETURN(response, ToProto(version));
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoImportHistory(const v1::ImportHistoryRequest& request,
                                                v1::ImportHistoryResponse& response) {
  ASSIGN_OR_RETURN(const PromptKey prompt, ParsePromptKey(request.name(), "name"));
  if (request.entries().empty()) return FieldRequired("entries");
  std::vector<PromptVersion> versions;
  for (const v1::ImportHistoryRequest::Entry& entry : request.entries()) {
    v1::PromptVersion proto;
    *proto.mutable_spec() = entry.spec();
    proto.set_note(entry.note());
    ASSIGN_OR_RETURN(PromptVersion version, RecordOf(prompt, proto));
    versions.push_back(std::move(version));
  }
  // Nothing is stored before all entries have been read.
  std::string parent;
  for (PromptVersion& version : versions) {
    version.parent = parent;
    ASSIGN_OR_RETURN(const PromptVersion stored, registry_.Create(std::move(version), false));
    parent = stored.digest;
    ASSIGN_OR_RETURN(*response.add_prompt_versions(), ToProto(stored));
  }
  return absl::OkStatus();
}

}  // namespace crossover::registry
