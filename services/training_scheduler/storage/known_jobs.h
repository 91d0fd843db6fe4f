// Jobs as this store last read or wrote them, kept in memory. Private to this room.
//
// Whoever leases a job comes back to the same scheduler with its beats and its end. A job that is
// known need not be read again: it is written under the condition that its row is still the one
// that was known. And most of a job, its spec and plan, does not change once its validation has
// ended: of a row that has changed those are still good.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

// The transaction that wrote a row, as its column xmin says: whoever writes the row, by whatever
// means, changes it.
using RowVersion = std::string;

struct KnownJob {
  Job job;
  RowVersion version;  // empty: the row may have changed; spec and plan are good
};

// Thread-safe. Holds so many jobs at most (some kilobytes each); who was kept longest ago goes
// first.
class KnownJobs {
 public:
  explicit KnownJobs(size_t capacity) : capacity_(capacity) {}

  // For its spec and plan; nullptr if it is not kept.
  std::shared_ptr<const KnownJob> Find(const JobId& id) const;
  // All of them, in their order, for the caller to write: they are no longer kept. Empty, and all
  // stay, if the row of one is not known.
  std::vector<KnownJob> Take(std::span<const JobId> ids);
  // In place of what is kept of the job. Nothing is kept of a job that is VALIDATING, since its
  // plan is yet to come, or that has ended. Without a version: for spec and plan only.
  void Keep(Job job, RowVersion version);

 private:
  using Entries = std::list<std::shared_ptr<KnownJob>>;

  const size_t capacity_;
  mutable absl::Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);  // the last kept is the last
  std::unordered_map<JobId, Entries::iterator> places_ ABSL_GUARDED_BY(mutex_);
};

// The database's time without asking for it: as it last said, and what has passed since by the
// steady clock of this machine. Behind by a message's way, never ahead. Thread-safe.
class DatabaseTime {
 public:
  // Clocks drift and are set: what was heard longer ago than this is not relied upon.
  static constexpr absl::Duration kGoodFor = absl::Seconds(10);

  void Heard(absl::Time database, absl::Duration steady);
  std::optional<absl::Time> Now(absl::Duration steady) const;

 private:
  mutable absl::Mutex mutex_;
  absl::Time base_ ABSL_GUARDED_BY(mutex_);  // the database's time when the steady clock was 0
  absl::Duration heard_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
};

}  // namespace crossover::scheduler
