// C [+]= A B for small dense tiles: Bf16Products and F32Products where there are any, otherwise
// LibTorch's cpublas::brgemm (oneDNN micro-kernels). Sees torch.
#pragma once

#include <ATen/native/CPUBlas.h>
#include <c10/util/BFloat16.h>

#include "llm/model/bf16_products.h"
#include "llm/model/f32_products.h"
#include "llm/model/kernels.h"

namespace crossover::llm {

// Row-major; leading dimensions in elements. `b` holds pairs of rows interleaved
// (AttentionKernels::pack*).
inline void TileMultiply(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c,
                         bool add, const Bf16Bits* a, const Bf16Bits* b, float* c) {
  if (const Bf16Products* own = Bf16ProductsHere(); own != nullptr && n % kPanel == 0) {
    return own->tile(m, n, k, ld_a, ld_b, ld_c, add, a, b, c);
  }
  at::native::cpublas::brgemm(m, n, k, ld_a, ld_b, ld_c, add,
                              reinterpret_cast<const at::BFloat16*>(a),
                              reinterpret_cast<const at::BFloat16*>(b), c, /*is_vnni=*/true);
}

inline void TileMultiply(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c,
                         bool add, const float* a, const float* b, float* c) {
  if (const F32Products* own = F32ProductsHere(); own != nullptr && n % kPanel == 0) {
    return own->tile(m, n, k, ld_a, ld_b, ld_c, add, a, b, c);
  }
  at::native::cpublas::brgemm(m, n, k, ld_a, ld_b, ld_c, add, a, b, c, /*is_vnni=*/false);
}

// Gives the matrix unit's tile state back. Once per thread after a group of TileMultiply.
template <typename C>
void TileRelease() {
  at::native::cpublas::brgemm_release(/*is_vnni=*/sizeof(C) == 2);
}

// Whether bf16 tiles can be multiplied in hardware; otherwise tiles are fp32.
bool TilesInBf16();

// The bits of a bf16 or the numbers of an fp32 tensor.
template <typename T>
T* Data(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

}  // namespace crossover::llm
