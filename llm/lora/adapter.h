// A LoRA adapter in memory, read from and written to PEFT's folders. No torch.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/formats/model_config.h"
#include "llm/formats/peft.h"
#include "llm/lora/layout.h"

namespace crossover::llm {

struct LoraAdapter {
  LoraConfig config;
  LoraLayout layout;
  std::vector<float> values;  // layout.size() numbers.
};

// Reads a PEFT folder for a model of this shape. InvalidArgument("ADAPTER_MISMATCH") names the
// module that the model does not have or whose shape differs; errors of ReadPeftAdapter.
absl::StatusOr<LoraAdapter> ReadAdapter(const std::filesystem::path& folder,
                                        const ModelConfig& model);

// Writes a PEFT folder as a whole: under a temporary name beside it, made durable, then renamed.
// AlreadyExists if there is one.
absl::Status WriteAdapter(const std::filesystem::path& folder, const LoraConfig& config,
                          const LoraLayout& layout, std::span<const float> values);

// A drawn from U(-1/sqrt(in), 1/sqrt(in)) (PEFT's kaiming_uniform with a = sqrt(5)), B zero. Every
// number depends on seed and its index only. Magnitudes are 0: those of the base model are not
// known here (llm/lora/initial.h).
std::vector<float> InitialValues(const LoraLayout& layout, uint64_t seed);

}  // namespace crossover::llm
