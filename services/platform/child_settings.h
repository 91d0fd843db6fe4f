// Settings of the children that the platform hands through.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace crossover::platform {

// Named as the flags of the children, whose --help explains them. Empty or 0: not given, so that
// the child's own default holds.
struct ChildSettings {
  std::string compute_type;    // of both
  std::string base_weights;    // of trainer workers
  int max_gang = 0;            // of trainer workers: most that share a job
  std::string decode_weights;  // of the model server, like the rest
  int64_t kv_cache_mb = 0;
  int max_bases = 0;
  int64_t max_queue = 0;
};

// INVALID_ARGUMENT `CONFIG_INVALID` for a value that a child would refuse: it would be started
// again and again.
absl::Status CheckChildSettings(const ChildSettings& settings);

// The flags of what is given.
std::vector<std::string> ModelServerFlags(const ChildSettings& settings);
// `gang_address`: host:port where the other workers of a gang meet this one.
std::vector<std::string> TrainerFlags(const ChildSettings& settings,
                                      const std::string& gang_address);

}  // namespace crossover::platform
