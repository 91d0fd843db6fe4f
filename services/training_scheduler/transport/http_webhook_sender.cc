#include "services/training_scheduler/transport/http_webhook_sender.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "common/status/absl_view.h"
#include "services/training_scheduler/domain/webhook.h"
#include "services/training_scheduler/domain/webhook_address.h"

namespace crossover::scheduler {

HttpWebhookSender::HttpWebhookSender(bool private_networks)
    : client_({.max_idle_per_host = 0,
               .max_body_bytes = 1 << 20,
               .may_connect = [private_networks](const std::string& address) {
                 return MayPostTo(address, private_networks);
               }}) {}

absl::StatusOr<WebhookResponse> HttpWebhookSender::Post(
    const std::string& url, const std::map<std::string, std::string>& headers,
    const std::string& body, absl::Duration timeout) {
  http::ClientRequest request{.method = "POST", .url = url, .body = body, .timeout = timeout};
  for (const auto& [name, value] : headers) request.headers.Set(name, value);
  WebhookResponse out;
  // A receiver that has said its status has answered, however its body ends.
  const absl::Status status = client_.Stream(
      std::move(request),
      [&](const http::ClientResponse& head) {
        out.status = head.status;
        int64_t seconds = 0;
        const auto retry_after = head.headers.Get("retry-after");
        if (retry_after.has_value() && absl::SimpleAtoi(ToAbsl(*retry_after), &seconds) &&
            seconds > 0) {
          out.retry_after = absl::Seconds(seconds);
        }
        return true;
      },
      [&](std::string_view piece) {
        out.body.append(piece.substr(0, kResponseLimit - out.body.size()));
        return out.body.size() < kResponseLimit;
      });
  if (out.status == 0) return status;
  return out;
}

}  // namespace crossover::scheduler
