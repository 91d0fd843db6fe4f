// Webhooks as plain values: where events of jobs are posted, and each event on its way.
//
// Follows the Standard Webhooks specification (standardwebhooks.com): headers webhook-id,
// webhook-timestamp and webhook-signature, HMAC-SHA256, secrets `whsec_…`, its retry schedule.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

struct WebhookEndpoint {
  std::string id;  // 26 characters
  std::string project;
  std::string url;
  std::vector<std::string> event_types;  // empty = all
  std::map<std::string, std::string> labels;
  std::string secret;  // whsec_…
  bool disabled = false;
  absl::Time create_time;
  absl::Time update_time;
};

enum class DeliveryState { kPending, kDelivered, kExhausted };

std::string_view Name(DeliveryState state);
std::optional<DeliveryState> ParseDeliveryState(std::string_view name);

struct WebhookDelivery {
  std::string id;        // the webhook-id header, the same on every attempt
  std::string endpoint;  // id
  std::string project;
  JobId job;
  std::string event_type;
  DeliveryState state = DeliveryState::kPending;
  int32_t attempts = 0;                 // begun, the one under way included
  std::optional<absl::Time> next_time;  // present ⇔ PENDING
  int32_t response_status = 0;          // 0 = no answer came
  std::string response;                 // first kResponseLimit characters, or the network error
  absl::Time create_time;               // when the event happened
  absl::Time update_time;               // when it was last tried
};

inline constexpr size_t kResponseLimit = 1000;

// "fine_tuning.job.succeeded" …; nullopt for a job whose end nobody is told by webhook: one that
// has not ended, or that trains nothing (EXPORT, SCORE).
std::optional<std::string> WebhookEventOf(const Job& job);
const std::vector<std::string>& WebhookEventTypes();

// INVALID_ARGUMENT names every field that is wrong: url (http or https with a host, no user
// information), event_types, labels.
absl::Status CheckEndpoint(const WebhookEndpoint& endpoint);

// The bytes that are posted, the same on every attempt. `data` holds the job's id only, in the form
// OpenAI's clients read it (ftjob-…): who receives it asks for the rest.
std::string WebhookBody(const WebhookDelivery& delivery);

// How long to wait after `attempts` failed ones; nullopt = give up. The schedule of the
// specification: at once, then 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h later.
std::optional<absl::Duration> WebhookPause(int attempts);

}  // namespace crossover::scheduler
