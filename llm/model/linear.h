// A frozen linear layer with an optional low-rank addition. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "llm/model/noise.h"
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
  // The same plus t b^T, for t [n, ranks] and b [out, ranks].
  void Forward(const at::Tensor& x, const at::Tensor& t, const at::Tensor& b, at::Tensor& y) const;
  // y [n, out] = x W^T; y is overwritten.
  void Multiply(const at::Tensor& x, at::Tensor& y) const;
  // dx [n, in] = dy W; dx is overwritten.
  void BackwardInput(const at::Tensor& dy, at::Tensor& dx) const;
  // The same plus dt a, for dt [n, ranks] and a [ranks, in].
  void BackwardInput(const at::Tensor& dy, const at::Tensor& dt, const at::Tensor& a,
                     at::Tensor& dx) const;
};

// y += (x A^T) B^T, for all adapters of the stacked layers at once: A [rank sum, in] stacked, B
// [out, rank sum] block-diagonal and multiplied by each adapter's scale. In the weights' number
// type. Undefined tensors: no adapter.
//
// DoRA (Liu et al., arXiv:2402.09353) then scales every output: y = c (W x + B A x) + bias, with
// c = m / ||W + B A|| by row, 1 for layers without an adapter.
struct LowRank {
  at::Tensor a;
  at::Tensor b;
  at::Tensor column_scale;   // c [out] fp32; undefined: no DoRA.
  at::Tensor column_shift;   // (1 - c) * bias [out] fp32; undefined: no bias.
  at::Tensor inverse_norms;  // 1 / ||W + B A|| [out] fp32, with column_scale.

  bool defined() const { return a.defined(); }
  bool scales_columns() const { return column_scale.defined(); }
  int64_t rank() const { return a.defined() ? a.size(0) : 0; }
};

// The low-rank additions of one decoder block.
struct BlockLowRank {
  LowRank qkv, o, gate_up, down;
};

// t [n, rank sum] = x A^T with the elements of x that `dropout` keeps; `scratch` [n, in] is
// overwritten when there is a dropout.
void LowRankInput(const LowRank& low_rank, const at::Tensor& x, const Dropout& dropout,
                  at::Tensor& scratch, at::Tensor& t);

// y = linear(x) + low-rank addition. `t` receives LowRankInput (untouched without adapter), `u` [as
// y] the outputs before DoRA's scale (untouched without DoRA).
void ForwardWithLowRank(const FrozenLinear& linear, const LowRank& low_rank, const at::Tensor& x,
                        const Dropout& dropout, at::Tensor& scratch, at::Tensor& t, at::Tensor& u,
                        at::Tensor& y);

}  // namespace crossover::llm
