// Webhooks in memory, with the same promises as Postgres. FakeJobStore tells it of jobs that ended.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/webhook_store.h"

namespace crossover::scheduler {

// Thread-safe. `clock` plays the database's clock, and is borrowed.
class FakeWebhookStore final : public WebhookStore {
 public:
  explicit FakeWebhookStore(Clock& clock) : clock_(clock), ids_(clock, random_) {}

  absl::StatusOr<WebhookEndpoint> CreateEndpoint(const WebhookEndpoint& endpoint,
                                                 const RequestKey& key) override;
  absl::StatusOr<WebhookEndpoint> GetEndpoint(const std::string& project,
                                              const std::string& id) override;
  absl::StatusOr<std::vector<WebhookEndpoint>> ListEndpoints(const std::string& project,
                                                             const std::string& before,
                                                             int64_t limit) override;
  absl::StatusOr<WebhookEndpoint> UpdateEndpoint(const WebhookEndpoint& endpoint) override;
  absl::Status DeleteEndpoint(const std::string& project, const std::string& id) override;
  absl::StatusOr<std::vector<WebhookDelivery>> ListDeliveries(const DeliveryQuery& query) override;
  absl::StatusOr<WebhookDelivery> Redeliver(const std::string& project, const std::string& endpoint,
                                            const std::string& id) override;
  absl::StatusOr<std::optional<ClaimedDelivery>> ClaimDelivery(absl::Duration lease) override;
  absl::StatusOr<bool> FinishAttempt(const std::string& id, int32_t attempt,
                                     const AttemptResult& result) override;
  absl::StatusOr<int64_t> RemoveEnded(absl::Duration age, int64_t limit) override;

  // A job ended: what a JobStore does in its transaction.
  void JobEnded(const Job& job);

 private:
  struct Record {
    WebhookDelivery delivery;
    std::optional<absl::Time> lease_expire_time;
  };

  absl::StatusOr<WebhookEndpoint*> Find(const std::string& project, const std::string& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsBusy(const std::string& endpoint) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  FakeRandom random_;
  UuidGenerator ids_;
  absl::Mutex mutex_;
  std::map<std::string, WebhookEndpoint> endpoints_ ABSL_GUARDED_BY(mutex_);  // by id
  std::map<std::string, Record> deliveries_ ABSL_GUARDED_BY(mutex_);          // by id
  // (project, request_id) → (payload hash, endpoint).
  std::map<std::pair<std::string, std::string>, std::pair<std::string, std::string>> requests_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::scheduler
