#include "common/rpc/deployment_keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::rpc {
namespace {

constexpr std::string_view kBearer = "Bearer ";
constexpr size_t kMinKey = 32;  // characters; 128 bits in hexadecimal

// Takes the same time wherever the two differ.
bool SameSecret(std::string_view given, std::string_view secret) {
  return !secret.empty() && given.size() == secret.size() &&
         CRYPTO_memcmp(given.data(), secret.data(), secret.size()) == 0;
}

bool IsRole(int number) {
  return number > static_cast<int>(Role::kUnspecified) &&
         number <= static_cast<int>(Role::kService);
}

}  // namespace

std::string ServiceToken(std::string_view service_key, const Principal& caller) {
  return absl::StrCat(ToAbsl(service_key), ";", static_cast<int>(caller.role), ";", caller.project,
                      ";", caller.name);
}

absl::Status CheckKey(std::string_view name, std::string_view secret) {
  const bool sendable = std::all_of(secret.begin(), secret.end(),
                                    [](char c) { return c > ' ' && c <= '~' && c != ';'; });
  if (sendable && secret.size() >= kMinKey) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
               absl::StrCat(ToAbsl(name), " needs at least ", kMinKey,
                            " printable characters without blanks and semicolons: "
                            "`openssl rand -hex 32` makes one"));
}

absl::StatusOr<Principal> DeploymentAuthenticator::Authenticate(std::string_view authorization,
                                                                std::string_view peer) {
  if (authorization.starts_with(kBearer)) {
    const std::string_view token = authorization.substr(kBearer.size());
    if (SameSecret(token, keys_.admin)) return Principal{.name = "admin-key", .role = Role::kAdmin};
    const std::vector<std::string> parts =
        absl::StrSplit(ToAbsl(token), absl::MaxSplits(';', 3));  // as ServiceToken made them
    if (SameSecret(parts[0], keys_.service)) {
      int role = static_cast<int>(Role::kService);
      if (parts.size() == 1) return Principal{.name = "service-key", .role = Role::kService};
      if (parts.size() == 4 && absl::SimpleAtoi(parts[1], &role) && IsRole(role)) {
        return Principal{.name = parts[3], .project = parts[2], .role = static_cast<Role>(role)};
      }
    }
  }
  if (otherwise_ != nullptr) return otherwise_->Authenticate(authorization, peer);
  if (!authorization.empty()) {
    return Error(absl::StatusCode::kUnauthenticated, "API_KEY_INVALID",
                 "this service knows the deployment's service key only: clients with an API key "
                 "call the router's gRPC port");
  }
  return Error(absl::StatusCode::kUnauthenticated, "API_KEY_MISSING",
               "this service is for the other services of its deployment, which show its service "
               "key: clients call the router's gRPC port");
}

}  // namespace crossover::rpc
