// What one training step draws at random: dropped inputs of an adapter, noise on embeddings. Sees
// torch.
//
// Every number is a function of (seed, step, layer, token, column), so a run that is resumed draws
// what it would have drawn, and a block that is computed again sees the same inputs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "llm/model/pack.h"

namespace crossover::llm {

// The inputs of one low-rank addition that count: each is dropped with probability `share`, the
// others are multiplied by 1 / (1 - share).
struct Dropout {
  double share = 0;
  uint64_t seed = 0;
  uint64_t stream = 0;
  int64_t first_token = 0;  // Of the rows it is applied to.

  bool active() const { return share > 0; }
};

struct StepNoise {
  double dropout = 0;  // Share of an adapter's inputs.
  // NEFTune (Jain et al., arXiv:2310.05914): embeddings get uniform noise in ±neftune / sqrt(L d),
  // L the tokens of the row and d the hidden size.
  double neftune = 0;
  uint64_t seed = 0;
  uint64_t step = 0;
  int64_t first_token = 0;  // Of the pack, among all tokens of the step.

  // The layers that share an input drop the same of it: q, k and v; gate and up.
  enum class Input { kQkv, kO, kGateUp, kDown };
  Dropout DropoutOf(int64_t layer, Input input) const;
};

// y = what `dropout` leaves of x; [rows, dim] each, not the same memory.
void DropoutRows(const at::Tensor& x, const Dropout& dropout, at::Tensor& y);
// y += what `dropout` leaves of x: the gradient.
void AddDropoutRows(const at::Tensor& x, const Dropout& dropout, at::Tensor& y);

// Adds NEFTune's noise to the embeddings of a pack. Where rows share a token, L is the longest
// row's.
void AddEmbeddingNoise(const Pack& pack, const StepNoise& noise, at::Tensor& embeddings);

}  // namespace crossover::llm
