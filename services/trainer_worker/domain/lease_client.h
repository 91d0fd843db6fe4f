// The scheduler, as a worker sees it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/trainer_worker/domain/work.h"

namespace crossover::worker {

// True if the same call would end the same way again: the lease is lost, or the call itself is
// wrong. Any other error (no answer, an overloaded scheduler, a conflict in its database) says
// nothing about the lease, and the call may be made again while the lease is trusted.
bool IsFinal(const absl::Status& status);

// Thread-safe. Calls block, each for a bounded time. ABORTED LEASE_LOST: the lease is over, stop
// and publish nothing.
class LeaseClient {
 public:
  virtual ~LeaseClient() = default;

  // Waits up to `wait` for a job. nullopt: there was none. CANCELLED after Interrupt.
  virtual absl::StatusOr<std::optional<LeasedJob>> Lease(absl::Duration wait) = 0;
  // Ends the present and all later waits of Lease.
  virtual void Interrupt() = 0;
  // Tells that this worker, which holds no lease any more, asks for none.
  virtual absl::Status Leave() { return absl::OkStatus(); }

  virtual absl::StatusOr<BeatReply> Heartbeat(const LeasedJob& job, const Report& report) = 0;
  // Returns the digests that the job keeps no longer.
  virtual absl::StatusOr<std::vector<std::string>> RecordCheckpoint(
      const LeasedJob& job, int64_t step, const std::string& digest,
      const std::string& adapter_digest, const Metric& metrics) = 0;
  virtual absl::Status Complete(const LeasedJob& job, const Ending& ending,
                                const Report& last_report) = 0;
  // `how`: of kCrashed, what went wrong; else empty.
  virtual absl::Status Release(const LeasedJob& job, ReleaseReason reason, int64_t checkpoint_step,
                               const std::string& how) = 0;
};

}  // namespace crossover::worker
