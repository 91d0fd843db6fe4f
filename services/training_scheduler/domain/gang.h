// Jobs that several workers hold together: all ranks or none. One rank that is lost ends the lease
// of all; the others learn it as LEASE_LOST at their next beat.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/training_scheduler/domain/job_store.h"

namespace crossover::scheduler {

inline constexpr int32_t kLargestGang = 64;

// What jobs that ask for float32 (compute_types.h), or do not, some of the claimants can share: by
// the number of workers less one, the most memory that such a job may need. -1: none, as always for
// one worker. Each of a gang holds the whole job, all compute it in one type, and one of them must
// have a rendezvous.
std::vector<int64_t> GangLimits(const std::vector<Claimant>& claimants, bool asks_float32);

// Places of the claimants that share a job which needs no more than those limits, rank 0 first: the
// smallest that hold it, so that larger ones are left for larger jobs; of equal ones the first.
// Empty: there is no such gang.
std::vector<size_t> GangOf(const std::vector<Claimant>& claimants, int32_t size, int64_t memory,
                           bool asks_float32);

// The lease of those claimants.
LeaseRecord GangLease(const ClaimRequest& request, const Job& job, absl::Time now);

// True if the job is held by this worker, alone or in a gang; `incarnation` empty: in any life.
bool HeldBy(const Job& job, const std::string& worker, const std::string& incarnation);

// The life of the worker that holds the job; "" if it does not.
std::string HolderOf(const Job& job, const std::string& worker);

// What the job's holder of this name uses, as its last beat said.
std::optional<WorkerUsage> UsageOf(const Job& job, const std::string& worker);

}  // namespace crossover::scheduler
