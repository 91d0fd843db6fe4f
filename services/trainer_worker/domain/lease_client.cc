#include "services/trainer_worker/domain/lease_client.h"

#include "common/status/error.h"

namespace crossover::worker {

bool IsFinal(const absl::Status& status) {
  return HasReason(status, "LEASE_LOST") || absl::IsInvalidArgument(status) ||
         absl::IsOutOfRange(status) || absl::IsFailedPrecondition(status) ||
         absl::IsUnimplemented(status);
}

}  // namespace crossover::worker
