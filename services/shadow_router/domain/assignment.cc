#include "services/shadow_router/domain/assignment.h"

#include <algorithm>
#include <cmath>

#include "services/shadow_router/domain/hash.h"

namespace crossover::router {

const std::string& StickyKey(const RequestKey& key, StickyBy by) {
  if (by == StickyBy::kUser && !key.user.empty()) return key.user;
  if (by != StickyBy::kRequest && !key.conversation.empty()) return key.conversation;
  return key.request_id;
}

const std::string& ClusterKey(const RequestKey& key) {
  if (!key.conversation.empty()) return key.conversation;
  if (!key.user.empty()) return key.user;
  return key.request_id;
}

int Bucket(std::string_view salt, std::string_view key) {
  return static_cast<int>(SaltedHash(salt, key) % kBuckets);
}

int ToBasisPoints(double share) {
  return static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * kBuckets));
}

Assignment Assign(const Route& route, const TrafficPlan& plan, const RequestKey& key) {
  if (plan.experiment.empty()) return {.variant = route.primary};
  const std::string& sticky = StickyKey(key, route.sticky_by);
  Assignment result;
  result.canary = Bucket(route.salt, sticky) < plan.canary_weight;
  result.variant = result.canary ? plan.candidate : plan.reference;
  result.sampled = Bucket(route.shadow_salt, sticky) < plan.shadow_share;
  // The second sample is drawn per request: a user's turns need not all be paid for twice.
  result.second_sample = result.sampled && !plan.self_compare &&
                         Bucket(route.shadow_salt + "/second", key.request_id) < plan.double_share;
  return result;
}

}  // namespace crossover::router
