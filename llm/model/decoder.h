// Forward pass of a decoder over a pack, keeping what a backward pass needs. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "llm/model/base_model.h"
#include "llm/model/linear.h"
#include "llm/model/pack.h"

namespace crossover::llm {

// What one block leaves behind, [tokens, …] each. t_* is the input of the low-rank B (LowRank).
struct BlockActivations {
  at::Tensor x;  // Input of the block.
  at::Tensor h_attention, rstd_attention;
  at::Tensor qkv;                 // After RoPE.
  at::Tensor qk_before, rstd_qk;  // Of a model with head norms: queries and keys before them.
  at::Tensor attention, lse;
  at::Tensor x_mlp;  // x + attention part.
  at::Tensor h_mlp, rstd_mlp;
  at::Tensor gate_up;
  at::Tensor t_qkv, t_o, t_gate_up, t_down;
};

// Memory of forward passes, reused from pack to pack: fresh memory of this size would cost page
// faults on every step.
class Activations {
 public:
  // `keep`: every block gets its own activations (for a backward pass); otherwise all blocks share
  // one. `rank_sums`: of each low-rank addition, 0 for none.
  struct Ranks {
    int64_t qkv = 0, o = 0, gate_up = 0, down = 0;
  };
  Activations(const BaseModel& base, Ranks ranks, bool keep);

  // Makes the tensors below `tokens` long.
  void Resize(int64_t tokens);

  std::vector<BlockActivations> blocks;  // As many as the model's, or one.
  at::Tensor act;                        // [tokens, intermediate], scratch
  at::Tensor delta;                      // [tokens, hidden], scratch
  at::Tensor x_final, h_final, rstd_final;

  static int64_t BytesPerToken(const ModelConfig& config, const Execution& execution, Ranks ranks,
                               bool keep);

 private:
  void Allocate(int64_t capacity);

  const BaseModel& base_;
  Ranks ranks_;
  bool keep_;
  int64_t capacity_ = 0;
  std::vector<at::Tensor*> views_;
  std::vector<at::Tensor> memory_;
};

// Fills `activations`; h_final is what the head takes. `low_rank` is empty or has one entry per
// block. Under InferenceMode.
void DecoderForward(const BaseModel& base, const std::vector<BlockLowRank>& low_rank,
                    const Pack& pack, Activations& activations);

}  // namespace crossover::llm
