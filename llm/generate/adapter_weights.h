// An adapter's numbers as generation multiplies with them: few rows of many adapters in one step.
// Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "llm/generate/step.h"
#include "llm/lora/adapter.h"
#include "llm/lora/layout.h"
#include "llm/model/base_model.h"

namespace crossover::llm {

// A of the layers that share an input stands stacked; B of each stands transposed and multiplied by
// its scale, without the zeros that a block-diagonal stack would have. In the activations' number
// type. Immutable.
class AdapterWeights {
 public:
  // Copies the adapter's numbers. DoRA's column scales are computed from the base here.
  AdapterWeights(const BaseModel& base, const LoraAdapter& adapter);

  struct Output {
    int64_t rank_offset = 0;  // In the stacked A.
    int64_t column = 0;       // First output column.
    at::Tensor b;             // [rank, out]
  };
  // Layers of one decoder block that share an input.
  struct GroupWeights {
    at::Tensor a;  // [rank sum, in]; undefined: not adapted.
    std::vector<Output> outputs;
    at::Tensor column_scale, column_shift;  // As LowRank's, for DoRA.
  };

  const GroupWeights& Of(size_t layer, Group group) const {
    return blocks_[layer][static_cast<size_t>(group)];
  }
  // False for DoRA, whose scales are no sum.
  bool linear() const { return linear_; }
  int64_t bytes() const;

 private:
  std::vector<std::array<GroupWeights, kGroups>> blocks_;
  bool linear_ = true;
};

// y += sum over the shares of weight * B A x, and DoRA's scales. Each row's bits depend on its own
// numbers and adapters alone, whatever else is in the step.
void AddAdapters(const std::vector<AdapterRows>& adapters, size_t layer, Group group,
                 const at::Tensor& x, at::Tensor& y);

}  // namespace crossover::llm
