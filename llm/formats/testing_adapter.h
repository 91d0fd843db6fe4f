// A small PEFT folder. For tests.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "llm/formats/model_config.h"
#include "llm/formats/names.h"
#include "llm/formats/peft.h"

namespace crossover::llm {

// Rank 2 on the query projection of the first layer; all numbers are 0.25.
inline absl::Status WriteSmallAdapter(const std::filesystem::path& folder, const ModelConfig& model,
                                      const std::string& base_model) {
  const LinearSpec layer = LinearsOf(model, 0)[0];
  const std::vector<float> of_a(static_cast<size_t>(2 * layer.in), 0.25f);
  const std::vector<float> of_b(static_cast<size_t>(2 * layer.out), 0.25f);
  return WritePeftAdapter(
      folder, {.rank = 2, .alpha = 4, .target_modules = {layer.target}, .base_model = base_model},
      {{layer.hf_module, 2, layer.in, layer.out, of_a, of_b, {}}});
}

}  // namespace crossover::llm
