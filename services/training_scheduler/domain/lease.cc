#include "services/training_scheduler/domain/lease.h"

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::scheduler {

absl::Status LeaseLost(std::string_view why) {
  return Error(absl::StatusCode::kAborted, "LEASE_LOST",
               absl::StrCat("the lease is lost: ", ToAbsl(why), "; stop and publish nothing"));
}

std::string_view Name(ReleaseReason reason) {
  switch (reason) {
    case ReleaseReason::kDrain:
      return "DRAIN";
    case ReleaseReason::kPreempted:
      return "PREEMPTED";
    case ReleaseReason::kPaused:
      return "PAUSED";
    case ReleaseReason::kCancelled:
      return "CANCELLED";
    case ReleaseReason::kCrashed:
      return "CRASHED";
  }
  return "UNKNOWN";
}

}  // namespace crossover::scheduler
