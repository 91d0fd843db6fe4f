// Where models are known that are not in memory: the scheduler's Model registry.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::inference {

struct DirectoryEntry {
  std::string digest;
  bool is_base = false;
  std::string base_digest;           // Of an adapter.
  std::vector<std::string> aliases;  // Names clients may send.
};

// Thread-safe. May block for an RPC. UNAVAILABLE when it cannot be asked.
class ModelDirectory {
 public:
  virtual ~ModelDirectory() = default;
  // The usable model of this alias, slug, `ft:…` name or digest; nullopt if there is none.
  virtual absl::StatusOr<std::optional<DirectoryEntry>> Find(std::string_view name) = 0;
  // Usable bases, newest first.
  virtual absl::StatusOr<std::vector<DirectoryEntry>> Bases() = 0;
};

}  // namespace crossover::inference
