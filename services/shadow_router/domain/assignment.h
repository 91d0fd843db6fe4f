// Who answers a request, and whether it is mirrored: pure functions of salts, key and shares.
//
// Nested and monotone: bucket = hash(salt, key) mod 10,000 and a key is in the canary iff bucket <
// weight. Raising the weight only adds keys and nobody flips back and forth. Sampling for the
// shadow uses another salt, so that it is independent of the arm.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "services/shadow_router/domain/route.h"

namespace crossover::router {

inline constexpr int kBuckets = 10'000;  // Basis points.

// What a request says about its caller. Empty: not said.
struct RequestKey {
  std::string user;
  std::string conversation;
  std::string request_id;  // Never empty.
};

// The key that sticks: what `by` asks for, else the next one that the request carries.
const std::string& StickyKey(const RequestKey& key, StickyBy by);

// What clusters observations: turns of one conversation, or requests of one user, are not
// independent.
const std::string& ClusterKey(const RequestKey& key);

// In [0, 10,000).
int Bucket(std::string_view salt, std::string_view key);

// Rounds a share in [0,1] to basis points. Values outside are clamped.
int ToBasisPoints(double share);

// How an experiment bends the traffic of its route at this moment.
struct TrafficPlan {
  std::string
      experiment;  // Empty: no experiment; the route's primary answers and nothing is mirrored.
  int comparison = 0;
  std::string reference;  // Variant that is compared against (the old primary).
  std::string candidate;  // Variant under trial.
  int canary_weight = 0;  // Basis points of keys that the candidate answers.
  int shadow_share = 0;   // Basis points of keys that are mirrored.
  int double_share = 0;   // Basis points of mirrored requests on which the reference answers twice.
  bool self_compare =
      false;  // Calibration: the mirror calls the reference again, never the candidate.
};

struct Assignment {
  std::string variant;
  bool canary = false;
  bool sampled = false;        // Mirror this request.
  bool second_sample = false;  // And call the reference once more.
};

Assignment Assign(const Route& route, const TrafficPlan& plan, const RequestKey& key);

}  // namespace crossover::router
