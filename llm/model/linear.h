// A frozen linear layer with an optional low-rank addition. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "llm/model/stored_matrix.h"

namespace crossover::llm {

// y = x W^T + bias. Several layers that share an input are stacked along `out`.
struct FrozenLinear {
  at::Tensor weight;  // [out, in], bf16 or fp32; undefined where `stored` stands for it.
  std::shared_ptr<const StoredMatrix> stored;
  at::Tensor bias;  // [out] fp32, or undefined.

  int64_t out() const { return stored != nullptr ? stored->rows() : weight.size(0); }
  int64_t in() const { return stored != nullptr ? stored->columns() : weight.size(1); }

  // The weight, decoded if need be (StoredMatrix::Dense).
  at::Tensor Dense() const { return stored != nullptr ? stored->Dense() : weight; }

  // y [n, out] from x [n, in]; y is overwritten.
  void Forward(const at::Tensor& x, at::Tensor& y) const;
  // dx [n, in] = dy W; dx is overwritten.
  void BackwardInput(const at::Tensor& dy, at::Tensor& dx) const;
};

// y += (x A^T) B^T, for all adapters of the stacked layers at once: A [rank sum, in] stacked, B
// [out, rank sum] block-diagonal and multiplied by each adapter's scale. In the weights' number
// type. Undefined tensors: no adapter.
struct LowRank {
  at::Tensor a;
  at::Tensor b;

  bool defined() const { return a.defined(); }
  int64_t rank() const { return a.defined() ? a.size(0) : 0; }
};

// The low-rank additions of one decoder block.
struct BlockLowRank {
  LowRank qkv, o, gate_up, down;
};

// y = linear(x) + low-rank addition. `t` [n, rank sum] receives x A^T (untouched without adapter).
void ForwardWithLowRank(const FrozenLinear& linear, const LowRank& low_rank, const at::Tensor& x,
                        at::Tensor& t, at::Tensor& y);

}  // namespace crossover::llm
