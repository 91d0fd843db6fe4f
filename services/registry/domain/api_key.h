// Keys that clients send. Only the hash of a secret is kept; the secret is shown once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/id/random.h"

namespace crossover::registry {

struct ApiKey {
  std::string project;
  std::string id;
  absl::Time create_time;
  absl::Time update_time;
  int64_t revision = 0;
  bool revoked = false;
  int role = 0;                                  // number of crossover.type.v1.Role
  std::string key_hash;                          // SHA-256 of the secret, 64 hex digits
  std::string prefix;                            // first characters of the secret
  std::string former_hash;                       // of the secret before the last rotation
  std::optional<absl::Time> former_expire_time;  // until when that one is still accepted
  std::optional<absl::Time> expire_time;
  std::string document;  // JSON: display_name, labels, limits, routes
};

// A new secret: `xo-` and 256 random bits in hexadecimal.
std::string NewSecret(RandomSource& random);
// What is stored of it.
std::string HashSecret(std::string_view secret);
std::string PrefixOf(std::string_view secret);

// Whether the secret with this hash opens the key at `now`.
bool Accepts(const ApiKey& key, std::string_view secret_hash, absl::Time now);

}  // namespace crossover::registry
