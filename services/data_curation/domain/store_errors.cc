#include "services/data_curation/domain/store_errors.h"

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::curation {

absl::Status NotFound(const std::string& kind, const std::string& name) {
  return Error(absl::StatusCode::kNotFound, absl::StrCat("no ", kind, " `", name, "`"),
               {.reason = "RESOURCE_NOT_FOUND", .metadata = {{"name", name}}});
}

absl::Status Exists(const std::string& kind, const std::string& name) {
  return Error(absl::StatusCode::kAlreadyExists,
               absl::StrCat("a ", kind, " `", name, "` exists already"),
               {.reason = "RESOURCE_EXISTS", .metadata = {{"name", name}}});
}

absl::Status EtagMismatch(const std::string& kind, const std::string& name) {
  return Error(
      absl::StatusCode::kAborted, "ETAG_MISMATCH",
      absl::StrCat(kind, " `", name,
                   "` has changed since it was read: read it again and repeat the change"));
}

absl::Status RunLeaseLost(const std::string& id) {
  return Error(absl::StatusCode::kAborted, "LEASE_LOST",
               absl::StrCat("curation run ", id, " is over or belongs to another worker"));
}

absl::Status RunStateInvalid(const RunRecord& run, const std::string& verb,
                             const std::string& allowed) {
  const std::string state(Name(run.state));
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat("curation run ", run.id, " is ", state, ": ", verb, " needs ", allowed),
               {.reason = "STATE_INVALID", .metadata = {{"state", state}, {"allowed", allowed}}});
}

absl::Status DatasetInUse(const std::string& id) {
  return Error(absl::StatusCode::kFailedPrecondition, "RESOURCE_IN_USE",
               absl::StrCat("data set `", id,
                            "` has sealed versions, which stay: archive it with a label instead"));
}

}  // namespace crossover::curation
