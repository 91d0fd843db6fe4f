#include "services/training_scheduler/domain/model.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "services/training_scheduler/domain/model_errors.h"

namespace crossover::scheduler {
namespace {

constexpr std::array kModelKinds = {
    std::pair<ModelKind, std::string_view>{ModelKind::kBase, "BASE"},
    std::pair<ModelKind, std::string_view>{ModelKind::kAdapter, "ADAPTER"},
    std::pair<ModelKind, std::string_view>{ModelKind::kMerged, "MERGED"},
    std::pair<ModelKind, std::string_view>{ModelKind::kGguf, "GGUF"},
    std::pair<ModelKind, std::string_view>{ModelKind::kGgufAdapter, "GGUF_ADAPTER"},
};

}  // namespace

std::string_view Name(ModelKind kind) {
  for (const auto& [known, name] : kModelKinds) {
    if (known == kind) return name;
  }
  return "UNKNOWN";
}

std::optional<ModelKind> ParseModelKind(std::string_view name) {
  for (const auto& [kind, known] : kModelKinds) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

absl::Status NoModel(const std::string& project, const std::string& model) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("no model projects/", project, "/models/", model,
                            "; `crossover adapter list` shows those that exist"));
}

absl::Status NoVersion(const std::string& project, const std::string& model,
                       const std::string& digest_or_alias) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("no version or alias '", digest_or_alias, "' of projects/", project,
                            "/models/", model));
}

absl::Status KindTaken(const std::string& model, ModelKind known, ModelKind kind) {
  return Error(
      absl::StatusCode::kFailedPrecondition, "RESOURCE_IN_USE",
      absl::StrCat("model_id '", model, "' is the name of a model of kind ", ToAbsl(Name(known)),
                   "; choose another one for this ", ToAbsl(Name(kind))));
}

absl::Status VersionInUse(const std::string& digest, std::string_view referrer) {
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat(digest, " is used by ", ToAbsl(referrer), "; delete that first"),
               {.reason = "RESOURCE_IN_USE",
                .metadata = {{"referrer", std::string(referrer)}},
                .violations = {}});
}

}  // namespace crossover::scheduler
