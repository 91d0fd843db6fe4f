// Signatures of Standard Webhooks (standardwebhooks.com, specification 1.0, "Signature scheme").
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/id/random.h"

namespace crossover::scheduler {

// "whsec_" and 24 random bytes as base64: within the specification's 24 to 64 bytes.
std::string NewWebhookSecret(RandomSource& random);

// The webhook-signature header: "v1," and the base64 of HMAC-SHA256 over
// `{id}.{unix seconds}.{body}` with the bytes behind "whsec_". INTERNAL if the secret is not one.
absl::StatusOr<std::string> WebhookSignature(std::string_view secret, std::string_view id,
                                             int64_t unix_seconds, std::string_view body);

}  // namespace crossover::scheduler
