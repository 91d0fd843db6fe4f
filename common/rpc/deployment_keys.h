// The keys of services that run as processes of their own, beside the registry's API keys.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/auth.h"

namespace crossover::rpc {

// What services of one deployment show each other: the key they share and the caller for whom they
// ask, as a bearer token. Whoever holds the key is believed.
std::string ServiceToken(std::string_view service_key, const Principal& caller);

// INVALID_ARGUMENT `CONFIG_INVALID` unless the secret is one that can be sent and not guessed: 32
// characters and more, printable, no blank, no semicolon. `name` is that of the setting.
absl::Status CheckKey(std::string_view name, std::string_view secret);

// Secrets that lie in a deployment's files instead of the registry; empty = there is none.
struct DeploymentKeys {
  std::string service;  // bare: role SERVICE; in a ServiceToken: whom that names
  std::string admin;    // ADMIN of every project
};

// For services that run as processes of their own. A key is asked of every caller, those on the
// same machine included.
class DeploymentAuthenticator final : public Authenticator {
 public:
  // `otherwise` decides about callers that show none of the keys; nullptr: they are refused.
  // Borrowed.
  DeploymentAuthenticator(DeploymentKeys keys, Authenticator* otherwise)
      : keys_(std::move(keys)), otherwise_(otherwise) {}

  absl::StatusOr<Principal> Authenticate(std::string_view authorization,
                                         std::string_view peer) override;

 private:
  const DeploymentKeys keys_;
  Authenticator* const otherwise_;
};

}  // namespace crossover::rpc
