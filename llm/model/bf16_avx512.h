// What the kernels compiled for AVX-512-BF16 share. Everything is in an unnamed namespace, so that
// no other file can get its machine code.
#pragma once

#include <immintrin.h>

#include "llm/model/bf16_products.h"

namespace crossover::llm {
namespace {

#define CROSSOVER_INLINE inline __attribute__((always_inline))

CROSSOVER_INLINE int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
CROSSOVER_INLINE int64_t Pairs(int64_t numbers) { return (numbers + 1) / 2; }

// Pair number `pair` of a row in every lane.
CROSSOVER_INLINE __m512bh Broadcast(const Bf16Bits* pair) {
  int32_t bits;
  __builtin_memcpy(&bits, pair, 4);
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
}

CROSSOVER_INLINE __m512bh BroadcastLast(const Bf16Bits* number) {
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(*number));
}

CROSSOVER_INLINE __m512bh LoadPairs(const Bf16Bits* pairs) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(pairs));
}

// Weights come from memory, whose prefetcher stops at the end of every page.
constexpr int64_t kPairsAhead = 32;

// sums += rows of a times the first `pairs` pairs of kPanels panels, panel v at b + v *
// panel_stride, whose rows of pairs have stride ld_b.
template <int kRows, int kPanels>
CROSSOVER_INLINE void AddPairs(const Bf16Bits* a, int64_t ld_a, const Bf16Bits* b,
                               int64_t panel_stride, int64_t ld_b, int64_t pairs,
                               __m512 (&sums)[kRows][kPanels]) {
  for (int64_t p = 0; p < pairs; ++p, a += 2, b += ld_b) {
    __m512bh columns[kPanels];
#pragma GCC unroll 8
    for (int v = 0; v < kPanels; ++v) {
      columns[v] = LoadPairs(b + v * panel_stride);
      _mm_prefetch(b + v * panel_stride + kPairsAhead * 2 * kPanel, _MM_HINT_T0);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __m512bh row = Broadcast(a + r * ld_a);
#pragma GCC unroll 8
      for (int v = 0; v < kPanels; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], row, columns[v]);
    }
  }
}

}  // namespace
}  // namespace crossover::llm
