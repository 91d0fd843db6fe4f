#include "services/training_scheduler/domain/webhook_deliverer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/webhook_signature.h"

namespace crossover::scheduler {
namespace {

constexpr int kGone = 410;

// Text that Postgres takes: whole UTF-8 characters without NUL.
std::string Printable(std::string text) {
  if (text.size() > kResponseLimit) text.resize(kResponseLimit);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80 || c == '\0') c = '?';
  }
  return text;
}

// The next attempt, or the end. Up to a tenth is added to the pause, so that many deliveries that
// failed together do not come back together.
void PlanNext(int attempts, absl::Duration asked_for, double random, AttemptResult& result) {
  const std::optional<absl::Duration> pause = WebhookPause(attempts);
  if (!pause.has_value()) {
    result.state = DeliveryState::kExhausted;
    return;
  }
  const absl::Duration asked = std::min(asked_for, absl::Hours(24));
  result.pause = std::max(*pause * (1 + 0.1 * random), asked);
}

}  // namespace

AttemptResult WebhookDeliverer::Try(const ClaimedDelivery& claimed) {
  const WebhookDelivery& delivery = claimed.delivery;
  AttemptResult result;
  const std::string body = WebhookBody(delivery);
  const int64_t now = absl::ToUnixSeconds(clock_.Now());
  absl::StatusOr<std::string> signature =
      WebhookSignature(claimed.endpoint.secret, delivery.id, now, body);
  absl::StatusOr<WebhookResponse> response =
      signature.ok() ? sender_.Post(claimed.endpoint.url,
                                    {{"content-type", "application/json"},
                                     {"user-agent", "Crossover-Webhooks"},
                                     {"webhook-id", delivery.id},
                                     {"webhook-timestamp", absl::StrCat(now)},
                                     {"webhook-signature", *signature}},
                                    body, options_.timeout)
                     : signature.status();
  if (!response.ok()) {
    result.response = Printable(std::string(response.status().message()));
    PlanNext(delivery.attempts, {}, random_.Uniform(), result);
    return result;
  }
  result.response_status = response->status;
  result.response = Printable(std::move(response->body));
  if (response->status >= 200 && response->status < 300) {
    result.state = DeliveryState::kDelivered;
  } else if (response->status == kGone) {
    // The specification's way to unsubscribe.
    result.state = DeliveryState::kExhausted;
    result.disable_endpoint = true;
  } else {
    PlanNext(delivery.attempts, response->retry_after, random_.Uniform(), result);
  }
  return result;
}

absl::StatusOr<bool> WebhookDeliverer::DeliverOne() {
  ASSIGN_OR_RETURN(std::optional<ClaimedDelivery> claimed, store_.ClaimDelivery(options_.lease));
  if (!claimed.has_value()) return false;
  const AttemptResult result = Try(*claimed);
  metrics_.WebhookTried(result.state);
  RETURN_IF_ERROR(
      store_.FinishAttempt(claimed->delivery.id, claimed->delivery.attempts, result).status());
  return true;
}

}  // namespace crossover::scheduler
