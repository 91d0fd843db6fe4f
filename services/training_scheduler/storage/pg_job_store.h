// Jobs in Postgres, schema `scheduler`.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/log/logger.h"
#include "common/pg/pool.h"
#include "services/training_scheduler/domain/job_store.h"
#include "services/training_scheduler/storage/group_commit.h"
#include "services/training_scheduler/storage/known_jobs.h"

namespace pqxx {
class transaction_base;
}

namespace crossover::scheduler {

class JobBatch;

// Thread-safe. Borrows the pool and the logger. Updates that come while others are being written
// are joined into one transaction (group_commit.h). Jobs that this store claimed or wrote last are
// updated from memory, by one statement that writes them only if nobody has written them since
// (known_jobs.h); else under their row locks.
//
// Writes that others may care about send NOTIFY crossover_job in their transaction, at most once in
// kNotifyGap; those in between are joined into one that FlushNotify sends. `notify_owed` is called
// (from any thread) when one is owed.
//
// A claim has committed when its jobs are read. One that cannot be read is logged as
// `claimed_job_unreadable` and left out: whoever gets the others goes on.
class PgJobStore final : public JobStore {
 public:
  static constexpr absl::Duration kNotifyGap = absl::Milliseconds(50);
  static constexpr size_t kKnown = 2048;  // jobs in memory; more than run at a time

  PgJobStore(
      pg::Pool& pool, Logger& logger, std::function<void()> notify_owed = [] {})
      : pool_(pool),
        logger_(logger),
        notify_owed_(std::move(notify_owed)),
        commits_([this](std::span<const JobUpdate> updates) { return UpdateAll(updates); }) {}

  absl::StatusOr<Job> Insert(const Job& job, const RequestKey& key,
                             const Mutation& mutation) override;
  absl::StatusOr<std::optional<Job>> FindCreated(const std::string& project,
                                                 const RequestKey& key) override;
  absl::StatusOr<Job> Get(const JobId& id) override;
  absl::StatusOr<std::vector<Job>> List(const JobQuery& query) override;
  absl::StatusOr<Job> Update(const JobId& id, const Mutation& mutation) override;
  std::vector<absl::StatusOr<Job>> UpdateAll(std::span<const JobUpdate> updates) override;
  absl::StatusOr<Job> UpdateOnce(const JobId& id, const RequestKey& key,
                                 const Mutation& mutation) override;
  absl::StatusOr<std::vector<Job>> Claim(const ClaimRequest& request) override;
  absl::StatusOr<std::vector<Job>> ClaimGang(const ClaimRequest& request) override;
  absl::Status SetQuota(const std::string& project, std::optional<int32_t> leases) override;
  absl::StatusOr<std::optional<Preemption>> FindPreemption(absl::Duration waited,
                                                           int32_t gap) override;
  absl::StatusOr<std::vector<JobId>> Due(int64_t limit) override;
  absl::StatusOr<std::vector<JobId>> LeasedBy(const std::string& worker,
                                              const std::string& incarnation) override;
  absl::StatusOr<std::vector<JobEvent>> Events(const JobId& id, int64_t after,
                                               int64_t limit) override;
  absl::StatusOr<std::vector<MetricPoint>> Metrics(const JobId& id, int64_t after,
                                                   int64_t every_nth, int64_t limit) override;
  absl::StatusOr<std::vector<Checkpoint>> Checkpoints(const JobId& id) override;
  absl::StatusOr<int64_t> QueuePosition(const Job& job) override;
  absl::StatusOr<std::vector<QueueDepth>> Depths() override;
  absl::StatusOr<MeasuredRate> Rate(const std::string& base_digest) override;
  absl::StatusOr<bool> RefersTo(const std::string& project, const std::string& digest) override;
  absl::StatusOr<std::optional<MadeAdapter>> FindAdapter(const std::string& project,
                                                         const std::string& digest) override;
  absl::StatusOr<Checkpoint> PinCheckpoint(const JobId& id, int64_t step, bool pinned) override;
  absl::StatusOr<std::vector<std::string>> PruneCheckpoints(const JobId& id) override;
  absl::StatusOr<WorkerLife> SawWorker(const WorkerRecord& worker) override;
  absl::Status WorkerLeft(const std::string& name, const std::string& incarnation,
                          const std::string& project) override;
  absl::StatusOr<std::vector<WorkerRecord>> Workers(const std::string& after,
                                                    int64_t limit) override;
  absl::StatusOr<int64_t> RemoveEnded(absl::Duration age, int64_t limit) override;
  absl::Status Forget(absl::Duration age) override;
  absl::Status AsLeader(const std::function<absl::Status()>& pass) override;

  // Sends the notification that is owed, if one is.
  absl::Status FlushNotify();

 private:
  // True if a notification may be sent now; otherwise it is owed.
  bool MayNotify();
  // Updates as one statement that reads nothing: if all jobs are known and nothing but their rows
  // and events changes. nullopt: nothing was written, or one of them is not as it was known.
  std::optional<std::vector<absl::StatusOr<Job>>> UpdateKnown(std::span<const JobUpdate> updates);
  std::vector<absl::StatusOr<Job>> UpdateLocked(std::span<const JobUpdate> updates);
  struct Flushed {
    RowVersion version;  // of what was written
    bool owed = false;   // a notification, once the transaction has committed
  };
  // Writes the batch, which notifies if it is worth it and that may be done now.
  Flushed Flush(pqxx::transaction_base& txn, JobBatch& batch);
  // After the commit.
  void Keep(const std::vector<absl::StatusOr<Job>>& jobs, const Flushed& flushed);

  pg::Pool& pool_;
  Logger& logger_;
  const std::function<void()> notify_owed_;
  KnownJobs known_{kKnown};
  DatabaseTime time_;
  GroupCommit commits_;
  std::atomic<int64_t> last_notify_us_ = 0;  // by the steady clock
  std::atomic<bool> owed_ = false;
};

}  // namespace crossover::scheduler
