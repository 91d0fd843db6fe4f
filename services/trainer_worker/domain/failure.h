// Whose fault an error is, and what to say about it.
#pragma once

#include "absl/status/status.h"
#include "services/trainer_worker/domain/work.h"

namespace crossover::worker {

// USER: fails the job at once (wrong rows or numbers, a loss that is not finite: training is
// deterministic, so it would be so again). INFRASTRUCTURE: disk, memory, missing blobs: tried
// again. PLATFORM: everything else.
Failure FailureOf(const absl::Status& status);

}  // namespace crossover::worker
