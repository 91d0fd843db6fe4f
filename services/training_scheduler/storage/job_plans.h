// What jobs are to do, kept in memory. Private to this room.
//
// A job's spec is set with its creation and its plan (resolved spec, inputs, estimate) when its
// validation ends; neither changes afterwards, though they are most of a job. So a store that has
// read them once need not do so again with every beat and end.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/synchronization/mutex.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

struct JobPlan {
  JobSpec spec;
  ResolvedSpec resolved;
  Inputs inputs;
  Consumption estimate;
};

// Thread-safe. Holds so many plans at most (some kilobytes each); the first kept goes first.
class JobPlans {
 public:
  explicit JobPlans(size_t capacity) : capacity_(capacity) {}

  // nullptr if it is not kept.
  std::shared_ptr<const JobPlan> Find(const JobId& id) const;
  // Nothing for a job that is VALIDATING: its plan is yet to come.
  void Keep(const Job& job);

 private:
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::unordered_map<JobId, std::shared_ptr<const JobPlan>> plans_ ABSL_GUARDED_BY(mutex_);
  std::deque<JobId> order_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::scheduler
