// Webhooks in Postgres, schema `scheduler`.
#pragma once

#include <string>
#include <vector>

#include "common/pg/pool.h"
#include "services/training_scheduler/domain/webhook_store.h"

namespace crossover::scheduler {

// Thread-safe. Borrows the pool.
class PgWebhookStore final : public WebhookStore {
 public:
  explicit PgWebhookStore(pg::Pool& pool) : pool_(pool) {}

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

 private:
  pg::Pool& pool_;
};

}  // namespace crossover::scheduler
