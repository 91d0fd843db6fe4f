// What the kernels compiled for AVX2 and FMA share. Everything is in an unnamed namespace, so that
// no other file can get its machine code.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "llm/model/panels.h"

namespace crossover::llm {
namespace {

#define CROSSOVER_INLINE inline __attribute__((always_inline))

// Rows of a tile: with two vectors of columns that is 12 sums, which with their operands fill the
// registers.
constexpr int kTileRows = 6;
// Weights come from memory, whose prefetcher stops at the end of every page.
constexpr int64_t kStepsAhead = 24;

CROSSOVER_INLINE int64_t LeastOf(int64_t a, int64_t b) { return a < b ? a : b; }

// The sums of kRows rows and one panel's columns.
template <int kRows>
struct Sums {
  __m256 low[kRows], high[kRows];

  CROSSOVER_INLINE void Clear() {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_ps();
  }

  CROSSOVER_INLINE void Load(const float* c, int64_t ld) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      low[r] = _mm256_loadu_ps(c + r * ld);
      high[r] = _mm256_loadu_ps(c + r * ld + 8);
    }
  }

  // Adds `steps` products of a number of every row (`row` numbers apart, the next ones `step`
  // further) and 16 numbers of b.
  CROSSOVER_INLINE void Add(const float* a, int64_t row, int64_t step, const float* b, int64_t ld_b,
                            int64_t steps) {
#pragma GCC unroll 4
    for (int64_t s = 0; s < steps; ++s, a += step, b += ld_b) {
      _mm_prefetch(b + kStepsAhead * ld_b, _MM_HINT_T0);
      AddStep(a, row, _mm256_loadu_ps(b), _mm256_loadu_ps(b + 8));
    }
  }

  // Adds the products of a number of every row and the 16 of `left` and `right`.
  CROSSOVER_INLINE void AddStep(const float* a, int64_t row, __m256 left, __m256 right) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m256 factor = _mm256_broadcast_ss(a + r * row);
      low[r] = _mm256_fmadd_ps(factor, left, low[r]);
      high[r] = _mm256_fmadd_ps(factor, right, high[r]);
    }
  }

  CROSSOVER_INLINE void Store(float* c, int64_t ld, int64_t columns) const {
    if (columns < kPanel) return StorePart(c, ld, columns);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      _mm256_storeu_ps(c + r * ld, low[r]);
      _mm256_storeu_ps(c + r * ld + 8, high[r]);
    }
  }

  // Masked stores are slow on some processors. Inline, or the sums would have to lie in memory.
  CROSSOVER_INLINE void StorePart(float* c, int64_t ld, int64_t columns) const {
    alignas(32) float row[kPanel];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      _mm256_store_ps(row, low[r]);
      _mm256_store_ps(row + 8, high[r]);
      for (int64_t j = 0; j < columns; ++j) c[r * ld + j] = row[j];
    }
  }
};

}  // namespace
}  // namespace crossover::llm
