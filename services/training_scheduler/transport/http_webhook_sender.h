// Posts webhooks over HTTP.
#pragma once

#include "common/http/client.h"
#include "services/training_scheduler/domain/webhook_sender.h"

namespace crossover::scheduler {

// Thread-safe. Connects only to addresses that MayPostTo (domain/webhook_address.h) lets pass, to
// no proxy, and keeps no connection open.
class HttpWebhookSender final : public WebhookSender {
 public:
  explicit HttpWebhookSender(bool private_networks);

  absl::StatusOr<WebhookResponse> Post(const std::string& url,
                                       const std::map<std::string, std::string>& headers,
                                       const std::string& body, absl::Duration timeout) override;

 private:
  http::Client client_;
};

}  // namespace crossover::scheduler
