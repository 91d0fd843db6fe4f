#include "services/training_scheduler/domain/request_key.h"

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::scheduler {

absl::Status RequestIdReused(const std::string& id, const std::string& what) {
  return Error(
      absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
      absl::StrCat("request_id ", id, " ", what, " with another payload; use a new request_id"));
}

}  // namespace crossover::scheduler
