// Claims prefer jobs whose base model the claimant has in memory, among jobs of equal rank: a base
// of a gigabyte takes seconds to load. (Postgres does the same in SQL: migrations/0019.)
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "services/training_scheduler/domain/job_store.h"

namespace crossover::scheduler {

// Ranks that lie no further apart count as equal: less than a point of priority (10 min). A job is
// passed over only by jobs that were ready within this time of it, so it cannot starve.
constexpr absl::Duration kEqualRank = absl::Minutes(1);
// As many jobs of the project behind it are looked at.
constexpr size_t kJobsLookedAt = 32;

// A job and the claimant that gets it.
struct Assignment {
  const Job* job = nullptr;
  size_t claimant = 0;  // its place in the claim
};

// `taken`: the jobs that a claim would take, in its order; no more than claimants. `fitting`: all
// that fit, by rank. A job goes to a claimant that has its base, if one has. Where a claimant would
// get another base than it has, the last job taken of that project which nobody has the base of
// gives way to one with that base: the first among those behind it that are of equal rank.
std::vector<Assignment> PreferBases(std::vector<const Job*> taken,
                                    std::span<const Job* const> fitting,
                                    std::span<const Claimant> claimants);

}  // namespace crossover::scheduler
