// Forward pass of a decoder over a pack, keeping what a backward pass needs. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "llm/model/base_model.h"
#include "llm/model/linear.h"
#include "llm/model/noise.h"
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
  at::Tensor u_qkv, u_o, u_gate_up, u_down;  // Outputs before DoRA's scale; undefined without.
};

// Memory of forward passes, reused from pack to pack: fresh memory of this size would cost page
// faults on every step.
class Activations {
 public:
  // What the low-rank additions need: their rank sums, 0 for none.
  struct Ranks {
    int64_t qkv = 0, o = 0, gate_up = 0, down = 0;
    bool dora = false;
    bool dropout = false;
  };
  // `keep`: every block gets its own activations (for a backward pass); otherwise all blocks share
  // one. With `recompute` a block keeps its input only, and the backward pass computes the rest
  // again (RecomputeBlock).
  Activations(const BaseModel& base, Ranks ranks, bool keep, bool recompute = false);

  // Makes the tensors below `tokens` long.
  void Resize(int64_t tokens);

  // Those of block `i`. Where blocks share activations, they hold the last block computed.
  BlockActivations& At(int64_t i);
  bool recompute() const { return recompute_; }
  // [tokens, width], scratch for dropped inputs; width is one of a layer's inputs.
  at::Tensor Dropped(int64_t width) const;

  at::Tensor act;    // [tokens, intermediate], scratch
  at::Tensor delta;  // [tokens, hidden], scratch
  at::Tensor x_final, h_final, rstd_final;

  static int64_t BytesPerToken(const ModelConfig& config, const Execution& execution, Ranks ranks,
                               bool keep, bool recompute = false);

 private:
  void Allocate(int64_t capacity);

  const BaseModel& base_;
  Ranks ranks_;
  bool keep_;
  bool recompute_;
  int64_t tokens_ = 0;
  int64_t capacity_ = 0;
  std::vector<BlockActivations> blocks_;  // As many as the model's, or one.
  std::vector<at::Tensor> inputs_;        // Of every block, where `recompute` is set.
  at::Tensor dropped_;
  std::vector<at::Tensor*> views_;
  std::vector<at::Tensor> memory_;
};

// Fills `activations`; h_final is what the head takes. `low_rank` is empty or has one entry per
// block. Under InferenceMode.
void DecoderForward(const BaseModel& base, const std::vector<BlockLowRank>& low_rank,
                    const Pack& pack, Activations& activations, const StepNoise& noise = {});

// After a DecoderForward with the same arguments: computes block `i` again from its input, with the
// same bits. Overwrites act and delta.
void RecomputeBlock(const BaseModel& base, const std::vector<BlockLowRank>& low_rank,
                    const Pack& pack, Activations& activations, const StepNoise& noise, int64_t i);

}  // namespace crossover::llm
