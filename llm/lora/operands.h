// An adapter's numbers as the matrices that forward and backward multiply with. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "llm/formats/model_config.h"
#include "llm/lora/layout.h"
#include "llm/model/linear.h"

namespace crossover::llm {

// Copies in the activations' number type: A stacked, scale * B block-diagonal (LowRank). Under
// InferenceMode.
class LoraOperands {
 public:
  // Allocates, without values. `type` is the activations'.
  LoraOperands(const ModelConfig& config, const LoraLayout& layout, const at::TensorOptions& type);

  // Copies `values` (layout.size() numbers) into the operands.
  void Assign(const LoraLayout& layout, std::span<const float> values);

  const std::vector<BlockLowRank>& blocks() const { return blocks_; }
  int64_t bytes() const;

 private:
  std::vector<BlockLowRank> blocks_;
};

// The low-rank addition of one group.
LowRank& Part(BlockLowRank& block, Group group);
const LowRank& Part(const BlockLowRank& block, Group group);

}  // namespace crossover::llm
