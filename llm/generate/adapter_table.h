// The adapters that requests may name, and sums of them. No torch. Not thread-safe; EngineLoop
// locks.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/generate/engine.h"
#include "llm/generate/sequence.h"

namespace crossover::llm {

class AdapterTable {
 public:
  // Sets adapter->registration; replaces what is loaded under the same key.
  void Add(std::shared_ptr<LoadedAdapter> adapter);
  // NotFound("ADAPTER_NOT_LOADED").
  absl::Status Remove(const std::string& key);
  // NotFound("ADAPTER_NOT_LOADED"); "" is the base model: null.
  absl::StatusOr<std::shared_ptr<const LoadedAdapter>> Find(const std::string& key) const;
  // The sum of adapters, each times its weight. The same sum has the same registration while it is
  // remembered, so that its requests share cached prefixes. InvalidArgument("BAD_MIX") for DoRA and
  // weights that are no numbers.
  absl::StatusOr<std::shared_ptr<const LoadedAdapter>> Mix(const std::vector<AdapterPart>& parts);
  std::vector<AdapterInfo> List() const;

  // Registrations that no later request will have, since the last call.
  std::vector<uint64_t> TakeForgotten() { return std::exchange(forgotten_, {}); }
  bool has_forgotten() const { return !forgotten_.empty(); }

 private:
  // Registration and weight of each part.
  using MixKey = std::vector<std::pair<uint64_t, float>>;
  struct RememberedMix {
    MixKey key;
    std::shared_ptr<const LoadedAdapter> adapter;
  };

  void Forget(uint64_t registration);

  std::map<std::string, std::shared_ptr<const LoadedAdapter>> adapters_;
  std::list<RememberedMix> mixes_;  // Last used first.
  std::vector<uint64_t> forgotten_;
  uint64_t registrations_ = 0;
};

}  // namespace crossover::llm
