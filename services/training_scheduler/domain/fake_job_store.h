// Jobs in memory, with the same promises as Postgres: for tests of everything above the store.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/fake_webhook_store.h"
#include "services/training_scheduler/domain/job_store.h"

namespace crossover::scheduler {

// Thread-safe. `clock` plays the database's clock; all are borrowed. `webhooks` hears of jobs that
// end.
class FakeJobStore final : public JobStore {
 public:
  FakeJobStore(Clock& clock, FakeModelStore& models, FakeWebhookStore* webhooks = nullptr)
      : clock_(clock), models_(models), webhooks_(webhooks) {}

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
  absl::Status AsLeader(const std::function<absl::Status()>& pass) override { return pass(); }

 private:
  struct Record {
    Job job;
    std::vector<JobEvent> events;
    std::map<int64_t, MetricPoint> metrics;
    std::map<int64_t, Checkpoint> checkpoints;
  };

  absl::StatusOr<std::optional<Job>> Created(const std::string& project, const RequestKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Record*> Find(const JobId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // QUEUED jobs that fit, by rank.
  std::vector<const Job*> Fitting(const ClaimRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How many leases each project's jobs hold, as if `released` (may be null) held none.
  std::map<std::string, int32_t> Held(const Job* released) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Those of `fitting` that may be claimed, in the order of their claims. `turns`: what is Held.
  std::vector<const Job*> InLine(const std::vector<const Job*>& fitting,
                                 std::map<std::string, int32_t> turns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Who gets the worker of a running job that gives its lease back; null: that job again, or
  // nobody.
  const Job* NextInPlaceOf(const Job& running) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Place of a job in Due's order; nullopt if it is not due.
  std::optional<int> DueRank(const Job& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool WaitsForDependency(const Job& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Runs the mutation on a copy and keeps it if it is fine.
  absl::StatusOr<Job> Apply(Record& record, const Mutation& mutation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  FakeModelStore& models_;
  FakeWebhookStore* const webhooks_;
  absl::Mutex mutex_;
  std::map<JobId, Record> records_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int32_t> quotas_ ABSL_GUARDED_BY(mutex_);  // by project
  std::map<std::string, WorkerRecord> workers_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> earlier_lives_ ABSL_GUARDED_BY(mutex_);  // by worker
  std::map<std::pair<std::string, std::string>, std::string> updates_         // payload hash by key
      ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, std::pair<std::string, JobId>> requests_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::scheduler
