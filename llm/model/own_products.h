// Which own kernels multiply a number type, and what every product is checked for. Private to
// products.cc and outer_products.cc. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>

#include "llm/model/bf16_products.h"
#include "llm/model/f32_products.h"
#include "llm/model/kernels.h"

namespace crossover::llm {

// With fewer rows, packing B costs as much as multiplying.
inline constexpr int64_t kFewestRows = 16;

// The kernels for one number type, and numbers that a packed panel of k summands takes.
template <typename T>
struct OwnKernels;

template <>
struct OwnKernels<Bf16Bits> {
  // With more summands a panel of B leaves the cache before it is used again.
  static constexpr int64_t kMostSummands = 8192;
  static const Bf16Products* Here() { return Bf16ProductsHere(); }
  static int64_t PanelSize(int64_t summands) { return kPanel * 2 * ((summands + 1) / 2); }
};

template <>
struct OwnKernels<float> {
  static constexpr int64_t kMostSummands = 4096;
  static const F32Products* Here() { return F32ProductsHere(); }
  static int64_t PanelSize(int64_t summands) { return kPanel * summands; }
};

// Calls work.template operator()<T>() for the tensor's number type, bf16 or fp32.
template <typename Work>
decltype(auto) WithNumbersOf(const at::Tensor& tensor, const Work& work) {
  if (tensor.scalar_type() == at::kFloat) return work.template operator()<float>();
  return work.template operator()<Bf16Bits>();
}

// Whether the own kernels multiply the rows of x with so many summands.
inline bool OwnProducts(const at::Tensor& x, int64_t summands) {
  return x.size(0) >= kFewestRows && WithNumbersOf(x, [&]<typename T>() {
           return OwnKernels<T>::Here() != nullptr && summands <= OwnKernels<T>::kMostSummands;
         });
}

// The own kernels read plain memory: what LibTorch's would refuse must not reach them.
inline void CheckMatrix(const char* name, const at::Tensor& matrix, at::ScalarType type,
                        int64_t rows, int64_t columns) {
  TORCH_CHECK(matrix.dim() == 2 && matrix.size(0) == rows && matrix.size(1) == columns, "The ",
              name, " of a product has sizes ", matrix.sizes(), " and should have [", rows, ", ",
              columns, "].");
  TORCH_CHECK(matrix.scalar_type() == type, "The ", name, " of a product is of ",
              matrix.scalar_type(), " and should be of ", type, " like the other matrices.");
  TORCH_CHECK(columns <= 1 || matrix.stride(1) == 1, "The ", name, " of a product has strides ",
              matrix.strides(), "; the numbers of a row should be consecutive.");
}

inline void CheckFirst(const char* name, const at::Tensor& matrix) {
  TORCH_CHECK(matrix.dim() == 2, "The ", name, " of a product has ", matrix.dim(),
              " dimensions and should have 2.");
  TORCH_CHECK(matrix.scalar_type() == at::kBFloat16 || matrix.scalar_type() == at::kFloat, "The ",
              name, " of a product is of ", matrix.scalar_type(), " and should be bf16 or fp32.");
}

}  // namespace crossover::llm
