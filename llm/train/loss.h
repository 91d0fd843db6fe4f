// Softmax cross-entropy on the trained tokens of a pack, without ever holding their logits at once.
// Sees torch.
//
// Hidden states of trained tokens only go through the head, 256 at a time; a chunk's logits become
// their own gradient in place (the idea of Liger's fused linear cross-entropy, arXiv:2410.10989).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "llm/model/linear.h"
#include "llm/train/packer.h"

namespace crossover::llm {

struct LossResult {
  double weighted_loss = 0;  // sum of weight * loss
  double weight = 0;         // sum of weights
  int64_t tokens = 0;
  int64_t correct = 0;
  int32_t bad_row = -1;  // Row of the first loss that is not finite.
};

class LossHead {
 public:
  explicit LossHead(const FrozenLinear& head) : head_(head) {}

  // Without gradient.
  LossResult Evaluate(const std::vector<LossEntry>& entries, const at::Tensor& hidden);

  // d_hidden [as hidden] = gradient of sum(weight * loss) * factor; overwritten.
  LossResult Gradient(const std::vector<LossEntry>& entries, const at::Tensor& hidden,
                      double factor, at::Tensor& d_hidden);

 private:
  LossResult Run(const std::vector<LossEntry>& entries, const at::Tensor& hidden, double factor,
                 at::Tensor* d_hidden);

  const FrozenLinear& head_;
  at::Tensor rows_, d_rows_, logits_;  // Of one chunk.
};

}  // namespace crossover::llm
