// What jobs wait for beside their turn.
#pragma once

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/job_store.h"

namespace crossover::scheduler {

// True for a QUEUED job: it may wait for workers that are not there, or not idle at once.
bool WaitsForWorkers(const Job& job);

// The workers that Explain looks at.
absl::StatusOr<std::vector<WorkerRecord>> WorkersToExplainBy(JobStore& store);

// Adds to the state_reason of such jobs what they wait for now beside their turn: workers that are
// idle at once if several share the job, or that none of those that are known could take it. For
// answers alone: what is added is not stored.
void Explain(const std::vector<WorkerRecord>& workers, std::span<Job> jobs);
// The same; looks at the workers once, if there is such a job.
absl::Status Explain(JobStore& store, std::span<Job> jobs);

}  // namespace crossover::scheduler
