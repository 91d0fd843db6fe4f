// Joins updates that come at the same time into one transaction.
//
// A caller that finds nobody writing writes at once, so an update alone waits for nothing. Those
// that come meanwhile wait for one of them to write all that wait, so that under load a transaction
// (its round trips, its commit) is shared by many.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/training_scheduler/domain/job_store.h"

namespace crossover::scheduler {

// Thread-safe.
class GroupCommit {
 public:
  // One transaction: a result for each update, in their order. The jobs differ.
  using Write = std::function<std::vector<absl::StatusOr<Job>>(std::span<const JobUpdate>)>;

  static constexpr int kWriters = 2;  // transactions at a time: one computes while one commits
  static constexpr size_t kMaxBatch = 128;

  explicit GroupCommit(Write write) : write_(std::move(write)) {}

  // Blocks until the update is written, or failed. What ended a shared transaction for another's
  // sake (a constraint, another's deadline) does not end this one: it is then written alone.
  absl::StatusOr<Job> Update(JobUpdate update);

 private:
  struct Entry {
    JobUpdate update;
    std::optional<absl::StatusOr<Job>> result;
    bool taken = false;  // into a batch that is being written
    bool alone = false;  // its batch failed as a whole: its caller is to write it by itself
    absl::CondVar changed;
  };

  // Waiting updates of different jobs, the first first.
  std::vector<Entry*> TakeBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteBatch(const std::vector<Entry*>& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Write write_;
  absl::Mutex mutex_;
  std::deque<Entry*> waiting_ ABSL_GUARDED_BY(mutex_);
  int writers_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace crossover::scheduler
