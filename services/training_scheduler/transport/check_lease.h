// What a worker may say: numbers in range, names where they are needed. INVALID_ARGUMENT names
// every field that is not.
#pragma once

#include "absl/status/status.h"
#include "crossover/scheduler/v1/lease_service.pb.h"

namespace crossover::scheduler {

absl::Status CheckRequest(const v1::LeaseJobRequest& request);
absl::Status CheckRequest(const v1::HeartbeatRequest& request);
absl::Status CheckRequest(const v1::RecordCheckpointRequest& request);
absl::Status CheckRequest(const v1::CompleteJobRequest& request);

}  // namespace crossover::scheduler
