#include "services/registry/domain/store_errors.h"

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::registry {

absl::Status NotFound(const std::string& what) {
  return Error(absl::StatusCode::kNotFound, absl::StrCat("there is no ", what),
               {.reason = "RESOURCE_NOT_FOUND", .metadata = {{"name", what}}});
}

absl::Status Exists(const std::string& what) {
  return Error(absl::StatusCode::kAlreadyExists, absl::StrCat(what, " exists already"),
               {.reason = "RESOURCE_EXISTS", .metadata = {{"name", what}}});
}

absl::Status EtagMismatch(const std::string& what) {
  return Error(
      absl::StatusCode::kAborted, "ETAG_MISMATCH",
      absl::StrCat(what, " has changed since it was read: read it again and repeat the change"));
}

absl::Status InUse(const std::string& what, const std::string& by) {
  return Error(absl::StatusCode::kFailedPrecondition, absl::StrCat(what, " is in use by ", by),
               {.reason = "RESOURCE_IN_USE", .metadata = {{"referrer", by}}});
}

}  // namespace crossover::registry
