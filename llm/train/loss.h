// Softmax cross-entropy on the trained tokens of a pack, without ever holding their logits at once.
// Sees torch.
//
// Hidden states of trained tokens only go through the head, a chunk at a time; a chunk's logits
// become their own gradient in place (the idea of Liger's fused linear cross-entropy,
// arXiv:2410.10989).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <span>
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
  // Sums of weight * value, of what an objective says beside its loss (ObjectiveReport).
  double margin = 0;
  double ordered = 0;  // of pairs with a margin above 0
  double kl_to_base = 0;
  double teacher_kl = 0;
  double teacher_weight = 0;  // of tokens with a teacher

  void Add(const LossResult& other);
  ObjectiveReport Report() const;
};

// -log p(target) of each entry, and whether the target is the most likely token.
struct TokenLosses {
  std::vector<float> loss;
  std::vector<uint8_t> correct;
};

class LossHead {
 public:
  explicit LossHead(const FrozenLinear& head) : head_(head) {}

  // Without gradient.
  LossResult Evaluate(const std::vector<LossEntry>& entries, const at::Tensor& hidden);
  TokenLosses Losses(const std::vector<LossEntry>& entries, const at::Tensor& hidden);

  // d_hidden [as hidden] = gradient of sum(weight * loss) * factor; overwritten. Weights may be
  // negative.
  LossResult Gradient(const std::vector<LossEntry>& entries, const at::Tensor& hidden,
                      double factor, at::Tensor& d_hidden);

  // Calls `turn` with at most `rows` entries and their logits [entries, vocabulary] at a time;
  // `turn` overwrites them with their gradient, which goes to d_hidden unless that is null.
  using Turn = std::function<void(std::span<const LossEntry> chunk, at::Tensor& logits)>;
  void ForEachChunk(const std::vector<LossEntry>& entries, const at::Tensor& hidden, int64_t rows,
                    const Turn& turn, at::Tensor* d_hidden);

  // Logits of one chunk's entries at other hidden states, in the hidden states' number type.
  at::Tensor Logits(std::span<const LossEntry> chunk, const at::Tensor& hidden) const;

 private:
  LossResult Run(const std::vector<LossEntry>& entries, const at::Tensor& hidden, double factor,
                 at::Tensor* d_hidden, TokenLosses* losses);

  const FrozenLinear& head_;
  at::Tensor rows_, d_rows_, logits_;  // Of one chunk.
};

}  // namespace crossover::llm
