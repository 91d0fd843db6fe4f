// Where webhook endpoints and deliveries live. Implementations: PgWebhookStore, FakeWebhookStore;
// both pass WebhookStoreConformance.
//
// Deliveries are made by the JobStore, in the transaction that ends a job: one for each endpoint of
// the job's project that is not disabled and wants the event. So an end and its deliveries are
// stored together or not at all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/request_key.h"
#include "services/training_scheduler/domain/webhook.h"

namespace crossover::scheduler {

struct DeliveryQuery {
  std::string project;
  std::string endpoint;  // empty = all of the project
  std::optional<DeliveryState> state;
  JobId job;           // empty = all
  std::string before;  // the last id of the page before; empty = from the newest
  int64_t limit = 50;
};

// An attempt that the caller has to make.
struct ClaimedDelivery {
  WebhookEndpoint endpoint;
  WebhookDelivery delivery;  // `attempts` counts this one and is its fence
};

// How an attempt went, and what follows.
struct AttemptResult {
  DeliveryState state = DeliveryState::kPending;
  absl::Duration pause;  // PENDING: until the next attempt
  int32_t response_status = 0;
  std::string response;
  bool disable_endpoint = false;  // the receiver said it is gone
};

// Thread-safe. NOT_FOUND RESOURCE_NOT_FOUND names what is missing. The store's clock decides what
// is due.
class WebhookStore {
 public:
  virtual ~WebhookStore() = default;

  // Once per key: a repeat gives the endpoint that was stored, with its secret; another payload is
  // REQUEST_ID_REUSED. `endpoint.id` and `secret` are the caller's.
  virtual absl::StatusOr<WebhookEndpoint> CreateEndpoint(const WebhookEndpoint& endpoint,
                                                         const RequestKey& key) = 0;
  virtual absl::StatusOr<WebhookEndpoint> GetEndpoint(const std::string& project,
                                                      const std::string& id) = 0;
  // Newest first, those with an id below `before` (empty = all).
  virtual absl::StatusOr<std::vector<WebhookEndpoint>> ListEndpoints(const std::string& project,
                                                                     const std::string& before,
                                                                     int64_t limit) = 0;
  // Stores url, event_types, labels and disabled if the stored update_time is still
  // `endpoint.update_time`; ABORTED ETAG_MISMATCH otherwise.
  virtual absl::StatusOr<WebhookEndpoint> UpdateEndpoint(const WebhookEndpoint& endpoint) = 0;
  // And its deliveries.
  virtual absl::Status DeleteEndpoint(const std::string& project, const std::string& id) = 0;

  // Newest first.
  virtual absl::StatusOr<std::vector<WebhookDelivery>> ListDeliveries(
      const DeliveryQuery& query) = 0;
  // PENDING and due now, whatever it was. An attempt that is under way decides nothing any more.
  virtual absl::StatusOr<WebhookDelivery> Redeliver(const std::string& project,
                                                    const std::string& endpoint,
                                                    const std::string& id) = 0;

  // The PENDING delivery that has been due longest, leased to the caller for `lease`: nobody else
  // gets it until then. nullopt if none is due. Those of disabled endpoints wait, and so do those
  // of an endpoint that has an attempt under way, so that a slow receiver delays itself only (two
  // claims at once may still give two of one endpoint).
  virtual absl::StatusOr<std::optional<ClaimedDelivery>> ClaimDelivery(absl::Duration lease) = 0;
  // False if the attempt (`id`, `attempt`) is not the present one: nothing has changed.
  virtual absl::StatusOr<bool> FinishAttempt(const std::string& id, int32_t attempt,
                                             const AttemptResult& result) = 0;

  // Removes up to `limit` deliveries that are over, the last attempt `age` ago or earlier. Returns
  // how many.
  virtual absl::StatusOr<int64_t> RemoveEnded(absl::Duration age, int64_t limit) = 0;
};

}  // namespace crossover::scheduler
