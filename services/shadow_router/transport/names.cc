#include "services/shadow_router/transport/names.h"

#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/list/resource_name.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::router {

absl::Status CheckOwn(std::string_view name) {
  const std::string& own = RequestContext::Current().project;
  const std::string project = ProjectOf(std::string(name));
  if (own.empty() || project.empty() || own == project) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "RESOURCE_FORBIDDEN",
               absl::StrCat("this key belongs to ", own, " and may not use ", ToAbsl(name)));
}

absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts, list::ParseName(name, pattern, field));
  RETURN_IF_ERROR(CheckOwn(name));
  return parts;
}

absl::Status CheckReferences(const Route& route) {
  RETURN_IF_ERROR(CheckOwn(route.task));
  for (const auto& [name, system] : route.variants) {
    RETURN_IF_ERROR(CheckOwn(system.prompt_version));
    RETURN_IF_ERROR(CheckOwn(system.model.upstream));
  }
  return absl::OkStatus();
}

absl::Status NotImplemented(std::string_view what, std::string_view instead) {
  return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
               absl::StrCat(ToAbsl(what), " is not served yet: ", ToAbsl(instead)));
}

}  // namespace crossover::router
