// What makes a call repeatable.
#pragma once

#include <string>

namespace crossover::scheduler {

// The caller's request_id and a digest of what was asked. With an empty id every call counts.
struct RequestKey {
  std::string id;
  std::string payload_hash;
};

}  // namespace crossover::scheduler
