// A route: the name that clients put into `model`, and the variants that may answer for it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/shadow_router/domain/system.h"

namespace crossover::router {

enum class RouteMode { kPrompt, kFineTune, kHybrid };

// What makes two requests "the same caller" for canary assignment. Where the request doesn't carry
// it, the next one down the list is used.
enum class StickyBy { kUser, kConversation, kRequest };

struct Route {
  std::string name;  // `projects/{p}/routes/{r}`
  std::string task;  // `projects/{p}/tasks/{t}`
  RouteMode mode = RouteMode::kPrompt;
  std::map<std::string, System> variants;
  std::string primary;  // A key of `variants`.
  std::vector<std::string>
      fallbacks;  // Keys of `variants`, tried in order before the first byte is sent.
  StickyBy sticky_by = StickyBy::kUser;
  std::string salt;         // Canary assignment.
  std::string shadow_salt;  // Shadow sampling: independent of `salt`.
  int64_t config_version = 0;
  std::string experiment;  // The experiment that moves this route, or empty.
  std::map<std::string, std::string> labels;
  absl::Time create_time;
  absl::Time update_time;
  std::string etag;
};

// INVALID_ARGUMENT with one violation per wrong field; OK for a route that can be served.
absl::Status Validate(const Route& route);

// The last segment of a resource name: `projects/default/routes/sorter` → `sorter`.
std::string LastSegment(const std::string& name);

// `projects/{p}` of a resource name; empty if it has none.
std::string ProjectOf(const std::string& name);

}  // namespace crossover::router
