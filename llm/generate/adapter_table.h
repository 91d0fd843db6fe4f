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
  // Sets adapter->registration, to that of an adapter of the same content which is or was loaded,
  // so that it finds its cached prefixes again; replaces what is loaded under the same key.
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

  // Registrations that no later request will have, since the last call. That of an adapter with
  // content is one when 1,024 others have been unloaded after it.
  std::vector<uint64_t> TakeForgotten() { return std::exchange(forgotten_, {}); }
  bool has_forgotten() const { return !forgotten_.empty(); }

 private:
  // Registration and weight of each part.
  using MixKey = std::vector<std::pair<uint64_t, float>>;
  struct RememberedMix {
    MixKey key;
    std::shared_ptr<const LoadedAdapter> adapter;
  };

  struct Unloaded {
    std::string content;
    uint64_t registration = 0;
  };

  uint64_t RegistrationFor(const std::string& content);
  void Leaves(const LoadedAdapter& adapter);
  void ForgetMixesOf(uint64_t registration);

  std::map<std::string, std::shared_ptr<const LoadedAdapter>> adapters_;
  std::list<RememberedMix> mixes_;  // Last used first.
  std::list<Unloaded> unloaded_;    // With content, last unloaded first.
  std::vector<uint64_t> forgotten_;
  uint64_t registrations_ = 0;
};

}  // namespace crossover::llm
