// Causal grouped-query attention over a pack, forward and backward, without padding and without a
// mask matrix. Sees torch.
//
// Tiled as in FlashAttention-2 (Dao, arXiv:2307.08691) but with whole score rows, which fit the
// cache at the lengths of one row. Tiles are multiplied by oneDNN's small-matrix kernels (AMX,
// AVX-512-BF16, AVX2), accumulating in fp32.
#pragma once

#include <ATen/core/Tensor.h>

#include "llm/model/pack.h"

namespace crossover::llm {

struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
  int64_t out_width() const { return heads * head_dim; }
  float scale() const;  // 1/sqrt(head_dim)
};

// qkv [tokens, (heads + 2 kv_heads) * head_dim] (queries, keys, values after RoPE) -> out [tokens,
// heads * head_dim] and lse [tokens, heads] fp32, the log-sum-exp of the scaled scores. All
// contiguous; out and lse are overwritten.
void AttentionForward(const AttentionShape& shape, const Pack& pack, const at::Tensor& qkv,
                      at::Tensor& out, at::Tensor& lse);

// d_qkv [as qkv] from d_out; everything else as AttentionForward left it. Deterministic for any
// number of threads.
void AttentionBackward(const AttentionShape& shape, const Pack& pack, const at::Tensor& qkv,
                       const at::Tensor& out, const at::Tensor& lse, const at::Tensor& d_out,
                       at::Tensor& d_qkv);

}  // namespace crossover::llm
