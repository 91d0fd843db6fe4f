#include "services/training_scheduler/domain/fake_webhook_store.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/webhook_errors.h"

namespace crossover::scheduler {

absl::StatusOr<WebhookEndpoint*> FakeWebhookStore::Find(const std::string& project,
                                                        const std::string& id) {
  const auto found = endpoints_.find(id);
  if (found == endpoints_.end() || found->second.project != project) return NoEndpoint(id);
  return &found->second;
}

absl::StatusOr<WebhookEndpoint> FakeWebhookStore::CreateEndpoint(const WebhookEndpoint& endpoint,
                                                                 const RequestKey& key) {
  absl::MutexLock lock(&mutex_);
  if (!key.id.empty()) {
    const auto [place, first] =
        requests_.try_emplace({endpoint.project, key.id}, std::pair(key.payload_hash, endpoint.id));
    if (!first && place->second.first != key.payload_hash) {
      return RequestIdReused(key.id);
    }
    if (!first) {
      ASSIGN_OR_RETURN(WebhookEndpoint * known, Find(endpoint.project, place->second.second));
      return *known;
    }
  }
  WebhookEndpoint& stored = endpoints_[endpoint.id] = endpoint;
  stored.create_time = stored.update_time = clock_.Now();
  return stored;
}

absl::StatusOr<WebhookEndpoint> FakeWebhookStore::GetEndpoint(const std::string& project,
                                                              const std::string& id) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(WebhookEndpoint * endpoint, Find(project, id));
  return *endpoint;
}

absl::StatusOr<std::vector<WebhookEndpoint>> FakeWebhookStore::ListEndpoints(
    const std::string& project, const std::string& before, int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<WebhookEndpoint> page;
  for (auto it = endpoints_.rbegin(); it != endpoints_.rend(); ++it) {
    if (it->second.project != project || (!before.empty() && it->first >= before)) continue;
    if (static_cast<int64_t>(page.size()) < limit) page.push_back(it->second);
  }
  return page;
}

absl::StatusOr<WebhookEndpoint> FakeWebhookStore::UpdateEndpoint(const WebhookEndpoint& endpoint) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(WebhookEndpoint * stored, Find(endpoint.project, endpoint.id));
  if (stored->update_time != endpoint.update_time) return EndpointChanged(endpoint.id);
  *stored = endpoint;
  stored->update_time = clock_.Now();
  return *stored;
}

absl::Status FakeWebhookStore::DeleteEndpoint(const std::string& project, const std::string& id) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(Find(project, id).status());
  endpoints_.erase(id);
  std::erase_if(deliveries_,
                [&](const auto& entry) { return entry.second.delivery.endpoint == id; });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WebhookDelivery>> FakeWebhookStore::ListDeliveries(
    const DeliveryQuery& query) {
  absl::MutexLock lock(&mutex_);
  std::vector<WebhookDelivery> page;
  for (auto it = deliveries_.rbegin(); it != deliveries_.rend(); ++it) {
    const WebhookDelivery& delivery = it->second.delivery;
    const bool passes = delivery.project == query.project &&
                        (query.endpoint.empty() || delivery.endpoint == query.endpoint) &&
                        (!query.state.has_value() || delivery.state == *query.state) &&
                        (query.job.empty() || delivery.job == query.job) &&
                        (query.before.empty() || delivery.id < query.before);
    if (passes && static_cast<int64_t>(page.size()) < query.limit) page.push_back(delivery);
  }
  return page;
}

absl::StatusOr<WebhookDelivery> FakeWebhookStore::Redeliver(const std::string& project,
                                                            const std::string& endpoint,
                                                            const std::string& id) {
  absl::MutexLock lock(&mutex_);
  const auto found = deliveries_.find(id);
  if (found == deliveries_.end() || found->second.delivery.project != project ||
      found->second.delivery.endpoint != endpoint) {
    return NoDelivery(id);
  }
  Record& record = found->second;
  record.delivery.state = DeliveryState::kPending;
  record.delivery.next_time = clock_.Now();
  record.lease_expire_time.reset();
  return record.delivery;
}

bool FakeWebhookStore::IsBusy(const std::string& endpoint) {
  return std::any_of(deliveries_.begin(), deliveries_.end(), [&](const auto& entry) {
    const Record& record = entry.second;
    return record.delivery.endpoint == endpoint && record.lease_expire_time.has_value() &&
           *record.lease_expire_time > clock_.Now();
  });
}

absl::StatusOr<std::optional<ClaimedDelivery>> FakeWebhookStore::ClaimDelivery(
    absl::Duration lease) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  Record* first = nullptr;
  for (auto& [id, record] : deliveries_) {
    const WebhookDelivery& delivery = record.delivery;
    if (delivery.state != DeliveryState::kPending || *delivery.next_time > now ||
        endpoints_.at(delivery.endpoint).disabled || IsBusy(delivery.endpoint)) {
      continue;
    }
    if (first == nullptr || *delivery.next_time < *first->delivery.next_time) first = &record;
  }
  if (first == nullptr) return std::optional<ClaimedDelivery>();
  first->lease_expire_time = now + lease;
  first->delivery.attempts += 1;
  first->delivery.update_time = now;
  return std::optional(ClaimedDelivery{endpoints_.at(first->delivery.endpoint), first->delivery});
}

absl::StatusOr<bool> FakeWebhookStore::FinishAttempt(const std::string& id, int32_t attempt,
                                                     const AttemptResult& result) {
  absl::MutexLock lock(&mutex_);
  const auto found = deliveries_.find(id);
  if (found == deliveries_.end() || found->second.delivery.attempts != attempt ||
      !found->second.lease_expire_time.has_value()) {
    return false;
  }
  Record& record = found->second;
  record.lease_expire_time.reset();
  record.delivery.state = result.state;
  record.delivery.response_status = result.response_status;
  record.delivery.response = result.response;
  record.delivery.next_time = result.state == DeliveryState::kPending
                                  ? std::optional(clock_.Now() + result.pause)
                                  : std::nullopt;
  if (result.disable_endpoint) endpoints_.at(record.delivery.endpoint).disabled = true;
  return true;
}

absl::StatusOr<int64_t> FakeWebhookStore::RemoveEnded(absl::Duration age, int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<std::pair<absl::Time, std::string>> old;
  for (const auto& [id, record] : deliveries_) {
    const WebhookDelivery& delivery = record.delivery;
    if (delivery.state == DeliveryState::kPending) continue;
    if (delivery.update_time + age <= clock_.Now()) old.emplace_back(delivery.update_time, id);
  }
  std::sort(old.begin(), old.end());
  if (std::ssize(old) > limit) old.resize(static_cast<size_t>(limit));
  for (const auto& [updated, id] : old) deliveries_.erase(id);
  return std::ssize(old);
}

void FakeWebhookStore::JobEnded(const Job& job) {
  const std::optional<std::string> event = WebhookEventOf(job);
  if (!event.has_value()) return;
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, endpoint] : endpoints_) {
    const auto& types = endpoint.event_types;
    const bool wants =
        types.empty() || std::find(types.begin(), types.end(), *event) != types.end();
    if (endpoint.project != job.project || endpoint.disabled || !wants) continue;
    Record record;
    record.delivery.id = ids_.NextId();
    record.delivery.endpoint = id;
    record.delivery.project = job.project;
    record.delivery.job = job.id;
    record.delivery.event_type = *event;
    record.delivery.create_time = record.delivery.update_time = clock_.Now();
    record.delivery.next_time = clock_.Now();
    deliveries_[record.delivery.id] = record;
  }
}

}  // namespace crossover::scheduler
