#include "services/shadow_router/domain/caller.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/shadow_router/domain/route.h"

namespace crossover::router {

absl::Status CheckAccess(const Caller& caller, Access access) {
  if (access == Access::kRead ? caller.may_read : caller.may_call) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "ROLE_INSUFFICIENT",
               absl::StrCat(caller.name, access == Access::kRead
                                             ? " may not read here"
                                             : " may not call models here: its role is too low"));
}

bool MayUseRoute(const Caller& caller, const std::string& route) {
  if (caller.routes.empty()) return true;
  return std::any_of(caller.routes.begin(), caller.routes.end(), [&](const std::string& one) {
    return one == route || one == LastSegment(route);
  });
}

}  // namespace crossover::router
