// Picks storage and tile types for attention. Private to attention*.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "llm/model/kernels.h"
#include "llm/model/pack.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

// Queries and keys in one tile. Fixed, so that oneDNN generates a handful of kernels once.
inline constexpr int64_t kQueryTile = 32;
inline constexpr int64_t kKeyTile = 64;

template <typename T, typename C>
const AttentionKernels<T, C>& AttentionKernelsOf() {
  if constexpr (sizeof(T) == 4) {
    return Kernels().attention_f32;
  } else if constexpr (sizeof(C) == 2) {
    return Kernels().attention_bf16;
  } else {
    return Kernels().attention_bf16_in_f32;
  }
}

// Calls work.template operator()<T, C>().
template <typename Work>
void DispatchTiles(const at::Tensor& tensor, const Work& work) {
  if (tensor.scalar_type() == at::kFloat) {
    work.template operator()<float, float>();
  } else if (TilesInBf16()) {
    work.template operator()<Bf16Bits, Bf16Bits>();
  } else {
    work.template operator()<Bf16Bits, float>();
  }
}

// Scratch memory of one thread that only grows.
template <typename V>
class Scratch {
 public:
  V* Get(int64_t n) {
    if (n > size_) {
      memory_.reset(static_cast<V*>(::operator new(n * sizeof(V), std::align_val_t(64))));
      size_ = n;
    }
    return memory_.get();
  }

 private:
  struct Delete {
    void operator()(V* p) const { ::operator delete(static_cast<void*>(p), std::align_val_t(64)); }
  };
  std::unique_ptr<V, Delete> memory_;
  int64_t size_ = 0;
};

// Copies the keys (or values) a segment sees, ancestors first, to dense rows. `column` is the first
// number of the head in a row.
template <typename T>
void GatherRows(const Pack& pack, int segment, const T* qkv, int64_t ld, int64_t column,
                int64_t dim, T* dense) {
  const auto copy = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i, dense += dim)
      std::memcpy(dense, qkv + i * ld + column, sizeof(T) * dim);
  };
  for (const auto& [begin, end] : AncestorRanges(pack, segment)) copy(begin, end);
  copy(pack.segments[segment].begin, pack.segments[segment].end);
}

}  // namespace crossover::llm
