// What jobs wait for beside their turn.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "services/training_scheduler/domain/job_store.h"

namespace crossover::scheduler {

// True for a QUEUED job that several workers share: they must be idle at once.
bool WaitsForWorkers(const Job& job);

// Adds to the state_reason of such jobs what they wait for now. Looks at the workers once, if there
// is one of them. For answers alone: what is added is not stored.
absl::Status Explain(JobStore& store, std::span<Job> jobs);

}  // namespace crossover::scheduler
