// Jobs that several workers hold together: all ranks or none. One rank that is lost ends the lease
// of all; the others learn it as LEASE_LOST at their next beat.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "services/training_scheduler/domain/job_store.h"

namespace crossover::scheduler {

// The lease of the first `size` claimants, rank 0 first.
LeaseRecord GangLease(const ClaimRequest& request, int32_t size, absl::Time now);

// True if the job is held by this worker, alone or in a gang; `incarnation` empty: in any life.
bool HeldBy(const Job& job, const std::string& worker, const std::string& incarnation);

// The life of the worker that holds the job; "" if it does not.
std::string HolderOf(const Job& job, const std::string& worker);

// What the job's holder of this name uses, as its last beat said.
std::optional<WorkerUsage> UsageOf(const Job& job, const std::string& worker);

}  // namespace crossover::scheduler
