// What of an adapter must be as a job is that goes on from it, read from its files. The real reader
// uses llm/lora; see room model_files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::scheduler {

struct AdapterForm {
  int64_t rank = 0;
  double alpha = 0;
  bool rank_stabilised = false;
  std::vector<std::string> targets;  // q_proj …
  std::vector<int32_t> layers;       // each that it adapts, ascending
  bool all_layers = true;            // they are all of the base's
  std::map<std::string, int64_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;
  bool dora = false;
};

// Thread-safe.
class AdapterForms {
 public:
  virtual ~AdapterForms() = default;
  // INVALID_ARGUMENT, NOT_FOUND and UNIMPLEMENTED: this is no adapter that a job on this base can
  // go on from, and the message says why. Any other error: nothing is known (the base is not here).
  virtual absl::StatusOr<AdapterForm> Read(const std::string& adapter_digest,
                                           const std::string& base_digest) = 0;
};

// For tests: says what it is told.
class FakeAdapterForms final : public AdapterForms {
 public:
  absl::StatusOr<AdapterForm> Read(const std::string& adapter_digest, const std::string&) override {
    seen = adapter_digest;
    return answer;
  }
  absl::StatusOr<AdapterForm> answer = AdapterForm{};
  std::string seen;
};

}  // namespace crossover::scheduler
