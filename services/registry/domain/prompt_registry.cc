#include "services/registry/domain/prompt_registry.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/json/canonical.h"
#include "common/json/digest.h"
#include "common/list/resource_name.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::registry {
namespace {

bool IsEvaluation(const std::string& name) {
  return list::ParseName(name, "projects/*/runs/*").ok() ||
         list::ParseName(name, "projects/*/comparisons/*").ok();
}

}  // namespace

std::string_view Name(VersionState state) {
  switch (state) {
    case VersionState::kDraft:
      return "DRAFT";
    case VersionState::kActive:
      return "ACTIVE";
    case VersionState::kRetired:
      return "RETIRED";
  }
  return "";
}

std::optional<VersionState> VersionStateFromName(std::string_view name) {
  for (VersionState state : {VersionState::kDraft, VersionState::kActive, VersionState::kRetired}) {
    if (Name(state) == name) return state;
  }
  return std::nullopt;
}

absl::StatusOr<CanonicalSpec> Canonicalise(const std::string& spec) {
  const nlohmann::json value = nlohmann::json::parse(spec, nullptr, false);
  if (!value.is_object()) {
    return Error(absl::StatusCode::kInvalidArgument, "PROMPT_INVALID", "spec is not a JSON object");
  }
  CanonicalSpec canonical;
  ASSIGN_OR_RETURN(canonical.json, CanonicalJson(value));
  canonical.digest = DigestOf(canonical.json);
  return canonical;
}

absl::Status PromptRegistry::CheckTaskIsActive(const PromptKey& prompt) {
  ASSIGN_OR_RETURN(const Resource task, store_.Get({Kind::kTask, prompt.project, "", prompt.task}));
  if (task.state != "ARCHIVED") return absl::OkStatus();
  return Error(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat(Describe(task.key), " is ARCHIVED: its prompts cannot change"),
      {.reason = "STATE_INVALID", .metadata = {{"state", "ARCHIVED"}, {"allowed", "ACTIVE"}}});
}

absl::StatusOr<PromptVersion> PromptRegistry::Create(PromptVersion version, bool validate_only) {
  RETURN_IF_ERROR(CheckTaskIsActive(version.prompt));
  RETURN_IF_ERROR(
      store_
          .Get({Kind::kPrompt, version.prompt.project, version.prompt.task, version.prompt.prompt})
          .status());
  ASSIGN_OR_RETURN(CanonicalSpec canonical, Canonicalise(version.spec));
  version.spec = std::move(canonical.json);
  version.digest = std::move(canonical.digest);
  if (version.parent.empty()) {
    ASSIGN_OR_RETURN(const RegistryStore::Heads heads, store_.HeadsOf(version.prompt));
    if (heads.latest != version.digest) version.parent = heads.latest;
  } else {
    RETURN_IF_ERROR(store_.GetVersion(version.prompt, version.parent).status());
  }
  if (validate_only) return version;
  return store_.PutVersion(version);
}

absl::StatusOr<PromptVersion> PromptRegistry::Activate(const PromptKey& prompt,
                                                       const std::string& digest,
                                                       const std::string& evaluation,
                                                       const std::string& override_reason) {
  RETURN_IF_ERROR(CheckTaskIsActive(prompt));
  if (evaluation.empty() && override_reason.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "PROMPT_NOT_EVALUATED",
                 absl::StrCat("prompt version ", digest,
                              " was not evaluated: name the evaluation run that measured it, or "
                              "give an override_reason"));
  }
  if (!evaluation.empty() && !IsEvaluation(evaluation)) {
    return Error(absl::StatusCode::kInvalidArgument,
                 absl::StrCat("evaluation '", evaluation,
                              "' is not the name of one: projects/*/runs/* or "
                              "projects/*/comparisons/*"),
                 {.reason = "FIELD_INVALID",
                  .violations = {{"evaluation", "must name a run or a comparison"}}});
  }
  return store_.Activate(prompt, digest, evaluation, override_reason);
}

absl::StatusOr<PromptVersion> PromptRegistry::Rollback(const PromptKey& prompt,
                                                       const std::string& digest,
                                                       const std::string& reason) {
  if (reason.empty()) {
    return Error(
        absl::StatusCode::kInvalidArgument, "reason is missing",
        {.reason = "FIELD_REQUIRED", .violations = {{"reason", "say why the prompt goes back"}}});
  }
  std::string target = digest;
  if (target.empty()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> history, store_.ActivationHistory(prompt));
    if (history.size() < 2) {
      return Error(absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
                   absl::StrCat("prompt ", prompt.prompt,
                                " has no version that was in use before the present one"));
    }
    target = history[1];
  }
  ASSIGN_OR_RETURN(const PromptVersion version, store_.GetVersion(prompt, target));
  return store_.Activate(prompt, target, version.evaluation, "rollback: " + reason);
}

}  // namespace crossover::registry
