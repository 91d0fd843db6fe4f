// The scheduler, as a worker sees it.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/trainer_worker/domain/work.h"

namespace crossover::worker {

// Thread-safe. Calls block, each for a bounded time. ABORTED LEASE_LOST: the lease is over, stop
// and publish nothing. UNAVAILABLE and DEADLINE_EXCEEDED: nobody knows; the same call may be made
// again.
class LeaseClient {
 public:
  virtual ~LeaseClient() = default;

  // Waits up to `wait` for a job. nullopt: there was none. CANCELLED after Interrupt.
  virtual absl::StatusOr<std::optional<LeasedJob>> Lease(absl::Duration wait) = 0;
  // Ends the present and all later waits of Lease.
  virtual void Interrupt() = 0;

  virtual absl::StatusOr<BeatReply> Heartbeat(const LeasedJob& job, const Report& report) = 0;
  virtual absl::Status RecordCheckpoint(const LeasedJob& job, int64_t step,
                                        const std::string& digest,
                                        const std::string& adapter_digest,
                                        const Metric& metrics) = 0;
  virtual absl::Status Complete(const LeasedJob& job, const Ending& ending,
                                const Report& last_report) = 0;
  virtual absl::Status Release(const LeasedJob& job, ReleaseReason reason,
                               int64_t checkpoint_step) = 0;
};

}  // namespace crossover::worker
