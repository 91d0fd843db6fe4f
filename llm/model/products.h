// Matrix products of the decoder on whole tensors, with this library's own kernels where they are
// the faster ones (Bf16ProductsHere, F32ProductsHere) and with LibTorch's elsewhere. Sees torch.
// Tensors are bf16 or fp32 alike; the numbers of a row are consecutive. Tensors of other types,
// sizes or strides than told here throw c10::Error.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "llm/model/panels.h"

namespace crossover::llm {

// y [n, out] = x w^T + t b^T for x [n, in], w [out, in], t [n, ranks], b [out, ranks]; without the
// second product where t is undefined. y is overwritten. The own kernels round the sum once,
// LibTorch's each product.
void ProductTransposed(const at::Tensor& x, const at::Tensor& w, const at::Tensor& t,
                       const at::Tensor& b, at::Tensor& y);

// y [n, in] = x w + t a for x [n, out], w [out, in], t [n, ranks], a [ranks, in]; as above.
void Product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& t, const at::Tensor& a,
             at::Tensor& y);

// For every rank and column: to[rank * rank_stride + column * column_stride] += scale * (p^T q), p
// [n, ranks] and q [n, columns]. One of the strides is 1.
struct OuterProduct {
  at::Tensor p, q;
  float* to = nullptr;
  int64_t rank_stride = 1;
  int64_t column_stride = 1;
  float scale = 1;
};

// Products of the same tokens: an adapter's gradients. Targets do not overlap. The own kernels sum
// in fp32 and give the same bits for any number of threads; LibTorch's round the sum to the
// tensors' type and promise nothing about threads. For these, consecutive products with the same q
// whose p lie side by side in one matrix, and whose columns have stride 1, are multiplied at once.
// `memory` is theirs for sums: undefined at first, it grows to the largest and is used again.
void AddOuterProducts(std::span<const OuterProduct> products, at::Tensor& memory);

// A frozen matrix laid out once for the own kernels: products with few rows are then as fast as its
// numbers can be read. Immutable and thread-safe.
class PackedPanels {
 public:
  // Whether the own kernels are the faster ones here for the type; nothing else may be called
  // otherwise.
  static bool Here(at::ScalarType type);

  PackedPanels() = default;
  explicit PackedPanels(const at::Tensor& w);  // bf16 or fp32 [out, in], copied.

  bool defined() const { return data_.defined(); }
  // x w^T, [n, out] for x [n, in] of w's type. A row's result is the same bits for any number of
  // rows and threads.
  at::Tensor Multiply(const at::Tensor& x) const;

 private:
  int64_t out_ = 0;
  int64_t in_ = 0;
  at::Tensor data_;
  std::vector<StepRange> ranges_;
};

}  // namespace crossover::llm
