// RMS norm of every query and key head before RoPE, as Qwen3 has it. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include "llm/model/attention.h"

namespace crossover::llm {

// Both [head_dim] fp32, shared by all heads of their kind; undefined: the model has none.
struct HeadNorm {
  at::Tensor q;
  at::Tensor k;

  bool defined() const { return q.defined(); }
};

// Normalises the queries and keys of qkv [tokens, qkv_width] in place; values stay. For a backward
// pass `before` [tokens, (heads + kv_heads) * head_dim] receives what they were and `rstd` [tokens,
// heads + kv_heads] fp32 their factors; both may be undefined. Nothing happens without a norm.
void HeadNormRows(const AttentionShape& shape, const HeadNorm& norm, double eps, at::Tensor& qkv,
                  at::Tensor& before, at::Tensor& rstd);

// The gradient of the same, in place on d_qkv.
void HeadNormBackwardRows(const AttentionShape& shape, const HeadNorm& norm,
                          const at::Tensor& before, const at::Tensor& rstd, at::Tensor& d_qkv);

}  // namespace crossover::llm
