#include "services/training_scheduler/domain/names.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/context/request_context.h"
#include "common/id/uuid7.h"
#include "common/list/resource_name.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::scheduler {

bool IsSlug(std::string_view text) { return list::CheckSlug(text, "name").ok(); }

std::string CallersProject() {
  return std::string(absl::StripPrefix(RequestContext::Current().project, "projects/"));
}

absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts, list::ParseName(name, pattern, field));
  const std::string own = CallersProject();
  if (own.empty() || own == parts[0]) return parts;
  return Error(
      absl::StatusCode::kPermissionDenied, "RESOURCE_FORBIDDEN",
      absl::StrCat("this key belongs to projects/", own, " and may not use projects/", parts[0]));
}

bool IsOfProject(std::string_view project, std::string_view name) {
  return !absl::StartsWith(ToAbsl(name), "projects/") ||
         absl::StartsWith(ToAbsl(name), absl::StrCat("projects/", ToAbsl(project), "/"));
}

absl::StatusOr<std::string> ParseProject(std::string_view field, std::string_view name) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts, ParseScoped(name, "projects/*", field));
  return parts[0];
}

absl::StatusOr<JobName> ParseJobName(std::string_view field, std::string_view name) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts, ParseScoped(name, "projects/*/jobs/*", field));
  if (!ParseId(parts[1]).ok()) {
    const std::string description =
        absl::StrCat("is '", ToAbsl(name), "'; a job's id has 26 characters");
    return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(ToAbsl(field), " ", description),
                 {.reason = "FIELD_INVALID",
                  .metadata = {},
                  .violations = {{std::string(field), description}}});
  }
  return JobName{parts[0], parts[1]};
}

std::string FormatJobName(std::string_view project, std::string_view job) {
  return absl::StrCat("projects/", ToAbsl(project), "/jobs/", ToAbsl(job));
}

absl::StatusOr<ModelName> ParseModelName(std::string_view field, std::string_view name) {
  const bool version = name.find("/versions/") != std::string_view::npos;
  ASSIGN_OR_RETURN(
      std::vector<std::string> parts,
      ParseScoped(name, version ? "projects/*/models/*/versions/*" : "projects/*/models/*", field));
  return ModelName{parts[0], parts[1], version ? parts[2] : ""};
}

std::string FormatModelName(const ModelName& name) {
  std::string text = absl::StrCat("projects/", name.project, "/models/", name.model);
  if (!name.version.empty()) absl::StrAppend(&text, "/versions/", name.version);
  return text;
}

std::string ParseWorker(std::string_view name) {
  constexpr std::string_view kPrefix = "workers/";
  return std::string(name.substr(0, kPrefix.size()) == kPrefix ? name.substr(kPrefix.size())
                                                               : name);
}

}  // namespace crossover::scheduler
