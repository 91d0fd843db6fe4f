// Posts one webhook. Implementation: transport/http_webhook_sender.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crossover::scheduler {

struct WebhookResponse {
  int32_t status = 0;
  std::string body;
  absl::Duration retry_after;  // 0 = the receiver names none
};

// Thread-safe.
class WebhookSender {
 public:
  virtual ~WebhookSender() = default;

  // Blocks for at most `timeout`. Follows no redirects. Any status is an answer; an error means
  // that none came.
  virtual absl::StatusOr<WebhookResponse> Post(const std::string& url,
                                               const std::map<std::string, std::string>& headers,
                                               const std::string& body, absl::Duration timeout) = 0;
};

}  // namespace crossover::scheduler
