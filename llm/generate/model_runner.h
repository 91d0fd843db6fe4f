// One forward step of a batch of sequences over cached keys and values. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "llm/generate/cached_attention.h"
#include "llm/generate/packed_linear.h"
#include "llm/lora/operands.h"
#include "llm/model/base_model.h"

namespace crossover::llm {

// Rows [begin, end) of a step that use one adapter.
struct AdapterRows {
  int64_t begin = 0;
  int64_t end = 0;
  const LoraOperands* operands = nullptr;  // Null: the base model.
};

struct StepInput {
  std::vector<int32_t> ids;
  std::vector<int32_t> positions;
  std::vector<StepSequence> sequences;  // In row order, covering ids.
  std::vector<AdapterRows> adapters;    // In row order, covering ids.
  std::vector<int32_t> logit_rows;      // Rows whose next-token distribution is wanted.
};

// One thread.
class ModelRunner {
 public:
  ModelRunner(const BaseModel& base, const KvShape& kv);

  // Logits [logit_rows, vocab] in the activations' type. Appends keys and values to the sequences'
  // tails and counts them as computed.
  at::Tensor Run(const StepInput& input);

 private:
  struct Block {
    PackedLinear qkv, o, gate_up, down;
  };

  at::Tensor Linear(const PackedLinear& linear, const at::Tensor& x, const StepInput& input,
                    size_t layer, Group group) const;

  const BaseModel& base_;
  std::vector<Block> blocks_;
  PackedLinear head_;
  CachedAttention attention_;
};

}  // namespace crossover::llm
