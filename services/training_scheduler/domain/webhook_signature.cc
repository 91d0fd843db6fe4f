#include "services/training_scheduler/domain/webhook_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::scheduler {
namespace {

constexpr char kSecretPrefix[] = "whsec_";

absl::string_view Chars(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string NewWebhookSecret(RandomSource& random) {
  std::array<uint8_t, 24> bytes;
  random.Fill(bytes);
  return absl::StrCat(kSecretPrefix, absl::Base64Escape(Chars(bytes)));
}

absl::StatusOr<std::string> WebhookSignature(std::string_view secret, std::string_view id,
                                             int64_t unix_seconds, std::string_view body) {
  absl::string_view encoded = ToAbsl(secret);
  std::string key;
  if (!absl::ConsumePrefix(&encoded, kSecretPrefix) || !absl::Base64Unescape(encoded, &key)) {
    return Error(absl::StatusCode::kInternal, "INTERNAL_ERROR",
                 "a webhook secret is not whsec_ and base64");
  }
  const std::string signed_content = absl::StrCat(ToAbsl(id), ".", unix_seconds, ".", ToAbsl(body));
  std::array<uint8_t, EVP_MAX_MD_SIZE> mac;
  unsigned int size = 0;
  if (::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(signed_content.data()), signed_content.size(),
             mac.data(), &size) == nullptr) {
    return Error(absl::StatusCode::kInternal, "INTERNAL_ERROR",
                 "OpenSSL cannot compute HMAC-SHA256");
  }
  return absl::StrCat("v1,", absl::Base64Escape(Chars({mac.data(), size})));
}

}  // namespace crossover::scheduler
