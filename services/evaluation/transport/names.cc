#include "services/evaluation/transport/names.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/list/resource_name.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {

absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts, list::ParseName(name, pattern, field));
  RETURN_IF_ERROR(CheckScope(name, field));
  return parts;
}

absl::Status CheckScope(std::string_view name, std::string_view field) {
  const std::string& own = RequestContext::Current().project;
  if (own.empty() || name.empty() || name == own ||
      absl::StartsWith(ToAbsl(name), absl::StrCat(own, "/"))) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kPermissionDenied, "RESOURCE_FORBIDDEN",
               absl::StrCat(ToAbsl(field), ": this key belongs to ", own, " and may not use ",
                            ToAbsl(name)));
}

absl::Status CheckScope(const System& system, std::string_view field) {
  const std::string path(field);
  RETURN_IF_ERROR(CheckScope(system.prompt_version, path + ".prompt_version"));
  RETURN_IF_ERROR(CheckScope(system.upstream, path + ".upstream.upstream"));
  // Slugs, aliases and digests are nobody's; only a resource name has a project.
  if (!absl::StartsWith(system.model, "projects/")) return absl::OkStatus();
  return CheckScope(system.model, path + ".model");
}

}  // namespace crossover::evaluation
