// An adapter's numbers as the matrices that forward and backward multiply with. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <span>
#include <vector>

#include "llm/lora/layout.h"
#include "llm/model/base_model.h"
#include "llm/model/decoder.h"
#include "llm/model/linear.h"
#include "llm/model/weights.h"

namespace crossover::llm {

// Copies in the activations' number type: A stacked, scale * B block-diagonal, DoRA's column scales
// (LowRank). Under InferenceMode.
class LoraOperands {
 public:
  // Allocates, without values. With magnitudes the base's weights are read here and at every
  // Assign; it is borrowed.
  LoraOperands(const BaseModel& base, const LoraLayout& layout);

  // Copies `values` (layout.size() numbers) into the operands.
  void Assign(const LoraLayout& layout, std::span<const float> values);

  const std::vector<BlockLowRank>& blocks() const { return blocks_; }
  int64_t bytes() const;

 private:
  // DoRA's scales of one group, from A and B as assigned.
  void AssignScales(const LoraLayout& layout, std::span<const float> values, int64_t layer,
                    Group group);

  const BaseModel& base_;
  std::vector<BlockLowRank> blocks_;
  std::vector<std::array<at::Tensor, kGroups>> squares_;  // Of the base's row norms, by layer.
};

// The low-rank addition of one group.
LowRank& Part(BlockLowRank& block, Group group);
const LowRank& Part(const BlockLowRank& block, Group group);

// What activations need for this adapter. `dropout`: some of its inputs will be dropped.
Activations::Ranks RanksOf(const LoraLayout& layout, bool dropout = false);

// Squared Euclidean norm of each row of the frozen matrix, [out] fp32.
at::Tensor SquaredRowNorms(const FrozenLinear& linear);

// The frozen stack of one group.
const FrozenLinear& Part(const BlockWeights& block, Group group);

}  // namespace crossover::llm
