// What makes a call repeatable.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace crossover::scheduler {

// The caller's request_id and a digest of what was asked. With an empty id every call counts.
struct RequestKey {
  std::string id;
  std::string payload_hash;
};

// INVALID_ARGUMENT REQUEST_ID_REUSED. `what`: what the first call did, "created job 06b…".
absl::Status RequestIdReused(const std::string& id, const std::string& what);

}  // namespace crossover::scheduler
