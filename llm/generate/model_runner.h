// One forward step of a batch of sequences over cached keys and values. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "llm/generate/adapter_weights.h"
#include "llm/generate/cached_attention.h"
#include "llm/generate/packed_linear.h"
#include "llm/generate/step.h"
#include "llm/model/base_model.h"

namespace crossover::llm {

// How keys and values of this model are kept.
KvShape KvShapeOf(const BaseModel& base);

// One thread.
class ModelRunner final : public StepRunner {
 public:
  // Borrows the base.
  ModelRunner(const BaseModel& base, const KvShape& kv,
              DecodeWeights weights = DecodeWeights::kDense);

  void BindThread() override;
  std::unique_ptr<StepLogits> Run(const StepInput& input) override;
  void ForEach(int64_t n, absl::FunctionRef<void(int64_t)> task) override;

 private:
  struct Block {
    PackedLinear qkv, o, gate_up, down;
  };

  // The last hidden states [rows, hidden] after the final norm.
  at::Tensor Forward(const StepInput& input);
  // [logit_rows, vocab] in the activations' type.
  at::Tensor Logits(const at::Tensor& hidden, const StepInput& input) const;
  // [pooled, hidden] fp32.
  static at::Tensor Sums(const at::Tensor& hidden, const StepInput& input);
  at::Tensor Linear(const PackedLinear& linear, const at::Tensor& x, const StepInput& input,
                    size_t layer, Group group) const;

  const BaseModel& base_;
  std::vector<Block> blocks_;
  PackedLinear head_;
  CachedAttention attention_;
};

}  // namespace crossover::llm
