// Workers of one process that meet and add up, without a network.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "llm/train/collective.h"

namespace crossover::worker {

// Thread-safe. Outlives those who met.
class FakeMeeting {
 public:
  // As JoinGang.
  absl::StatusOr<std::shared_ptr<llm::Collective>> Join(const llm::Rendezvous& rendezvous);
  // Somebody does not come, or comes no more: all others miss it. A member that is destroyed
  // leaves.
  void Leave();

 private:
  class Member;

  absl::Status WaitUntil(const llm::Rendezvous& rendezvous, const std::function<bool()>& done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Sum(const llm::Rendezvous& rendezvous, std::span<double> values);

  absl::Mutex mutex_;
  bool left_ ABSL_GUARDED_BY(mutex_) = false;
  int arrived_ ABSL_GUARDED_BY(mutex_) = 0;
  int added_ ABSL_GUARDED_BY(mutex_) = 0;             // to the sum that is under way
  int64_t sums_ ABSL_GUARDED_BY(mutex_) = 0;          // that are done
  std::vector<double> sum_ ABSL_GUARDED_BY(mutex_);   // of those that have come …
  std::vector<double> done_ ABSL_GUARDED_BY(mutex_);  // … and the last whole one
};

}  // namespace crossover::worker
