// The decisions behind LeaseService: who gets a job, and what its holder may write.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/blob/blob_store.h"
#include "common/id/random.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/job_store.h"
#include "services/training_scheduler/domain/lease.h"
#include "services/training_scheduler/domain/retry_policy.h"
#include "services/training_scheduler/domain/scheduler_metrics.h"

namespace crossover::scheduler {

struct LeaseOptions {
  absl::Duration ttl = absl::Seconds(30);
  absl::Duration heartbeat_interval = absl::Seconds(10);
  RetryPolicy retry;
  double device_hour_usd = 0;  // of each worker; 0 = not known: jobs have no cost
};

struct LeaseRequest {
  std::string worker;
  std::string incarnation;
  Capabilities capabilities;
  std::string version;
  std::string project;     // whose jobs the caller may have; empty = all
  std::string rendezvous;  // host:port where it would lead a gang; empty = it cannot
  std::optional<WorkerUsage> usage;
};

// True if the same jobs fit both.
bool SameWishes(const LeaseRequest& a, const LeaseRequest& b);

// True if both may share a job: they differ at most in what they can hold, and neither is one that
// trains alone.
bool MayShareJobs(const LeaseRequest& a, const LeaseRequest& b);

// A worker's place in a gang.
struct GangPlace {
  int32_t rank = 0;
  int32_t size = 1;
  std::string rendezvous;
};

struct GrantedLease {
  Job job;
  LeaseToken token;
  std::optional<Checkpoint> resume;  // the last one, if there is one
  std::vector<Checkpoint> earlier;   // those before it that are kept, the latest first
  std::optional<GangPlace> gang;     // if several workers share the job
};

struct RecordedCheckpoint {
  Job job;
  std::vector<std::string> released;  // digests that the job keeps no longer
};

// Thread-safe. Borrows everything. Calls that carry a token are ABORTED LEASE_LOST if it is not of
// the present lease.
class Leasing {
 public:
  Leasing(JobStore& jobs, RandomSource& random, Clock& clock, SchedulerMetrics& metrics,
          LeaseOptions options, BlobStore* blobs = nullptr)
      : jobs_(jobs),
        random_(random),
        clock_(clock),
        metrics_(metrics),
        options_(options),
        blobs_(blobs) {}

  // One attempt; nullopt if there is nothing to do for this worker.
  absl::StatusOr<std::optional<GrantedLease>> TryLease(const LeaseRequest& request);
  // One attempt for workers of equal wishes (SameWishes): as many leases as there are jobs, each
  // with the place in `requests` of the worker that has it.
  absl::StatusOr<std::vector<std::pair<size_t, GrantedLease>>> TryLeaseAll(
      const std::vector<LeaseRequest>& requests);
  // A job that some of these workers can share (MayShareJobs), the first in rank: a lease for each
  // that gets a place in it (gang.h says which).
  absl::StatusOr<std::vector<std::pair<size_t, GrantedLease>>> TryLeaseGang(
      const std::vector<LeaseRequest>& requests);
  // Remembers who asked, for ListWorkers. The first word of a new life ends the leases of the
  // worker's earlier ones. FAILED_PRECONDITION RESOURCE_IN_USE: a later life has been seen, so two
  // processes share one name. INVALID_ARGUMENT: who asks has no name.
  // A life that was seen less than kSeenAgain ago is not looked up anew.
  static constexpr absl::Duration kSeenAgain = absl::Seconds(5);
  absl::Status Saw(const LeaseRequest& request);

  absl::StatusOr<HeartbeatReply> Heartbeat(const LeaseToken& token,
                                           const crossover::scheduler::Heartbeat& beat);
  absl::StatusOr<RecordedCheckpoint> RecordCheckpoint(const LeaseToken& token,
                                                      const Checkpoint& checkpoint);
  // INVALID_ARGUMENT FIELD_INVALID for an artifact of another kind (check_outputs.h).
  absl::StatusOr<Job> Complete(const LeaseToken& token, const Outcome& outcome);
  absl::StatusOr<Job> Release(const LeaseToken& token, ReleaseReason reason,
                              const std::string& how = "");

  // Ends the leases of a process that its parent has reaped. nullopt if it held none. `incarnation`
  // may be empty: any. `how`: exit status, last words. `project`: only its jobs; empty = all.
  absl::StatusOr<std::optional<Job>> Crashed(const std::string& worker,
                                             const std::string& incarnation,
                                             const std::string& how = "",
                                             const std::string& project = "");

  // A process that has given back what it held takes no more: it is listed no longer.
  // `project`: only if its worker; empty = anybody's. Of others nothing is said and nothing done.
  absl::Status Left(const std::string& worker, const std::string& incarnation,
                    const std::string& project = "");

  const LeaseOptions& options() const { return options_; }

 private:
  bool SeenLately(const LeaseRequest& request);
  absl::Status EndEarlierLives(const LeaseRequest& request);
  GrantedLease Grant(Job job, std::string secret);
  absl::StatusOr<Job> EndLease(const JobId& id, const JobStore::Mutation& mutation);
  int64_t SizeOf(const Outputs& outputs);
  absl::StatusOr<std::vector<Checkpoint>> EarlierCheckpoints(const Job& job);

  JobStore& jobs_;
  RandomSource& random_;
  Clock& clock_;
  SchedulerMetrics& metrics_;
  const LeaseOptions options_;
  absl::Mutex mutex_;
  struct Seen {
    std::string incarnation;
    absl::Duration when;  // by the steady clock
  };
  std::map<std::string, Seen> seen_ ABSL_GUARDED_BY(mutex_);  // by worker
  BlobStore* const blobs_;  // to look at what was made; nullptr: sizes stay unknown
};

}  // namespace crossover::scheduler
