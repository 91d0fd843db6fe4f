// Adapters for the benchmark, and what many of them cost.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/generate/engine.h"
#include "llm/lora/target.h"
#include "llm/model/base_model.h"

namespace crossover::bench {

struct AdapterShape {
  int64_t rank = 16;
  std::vector<llm::Target> targets;
};

// Writes a PEFT folder with small random numbers that names `base_digest` as its base.
absl::Status WriteRandomAdapter(const std::filesystem::path& folder, const llm::ModelConfig& model,
                                const AdapterShape& shape, uint64_t seed,
                                const std::string& base_digest);

struct ManyAdapters {
  double one = 0;   // Tokens a second when all rows of a batch have one adapter.
  double many = 0;  // When each row has one of its own, drawn from all that are registered.
};

// Best of `rounds` interleaved rounds of `rows` answers with `tokens` tokens; `registered` adapters
// of the shape are loaded first, into `folder`'s scratch space.
absl::StatusOr<ManyAdapters> MeasureManyAdapters(std::shared_ptr<const llm::BaseModel> base,
                                                 const AdapterShape& shape,
                                                 const std::filesystem::path& folder,
                                                 int registered, int rows, int64_t tokens,
                                                 int rounds);

}  // namespace crossover::bench
