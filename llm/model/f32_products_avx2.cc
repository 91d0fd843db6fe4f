// Compiled for AVX2 and FMA, so nothing here may be an inline function with external linkage
// (another file could get its machine code), the standard library's included.
#if defined(__x86_64__)
#include "llm/model/f32_avx2.h"
#include "llm/model/f32_products.h"

namespace crossover::llm {

namespace {

// ---- products with packed matrices

template <int kRows>
void MultiplyTile(const ProductTerm<float>* terms, int count, int64_t row, int64_t panel, int64_t n,
                  float* c, int64_t ld_c) {
  Sums<kRows> sums;
  sums.Clear();
  for (int t = 0; t < count; ++t) {
    const ProductTerm<float>& term = terms[t];
    const StepRange range = term.b.ranges[panel];
    sums.Add(term.a + row * term.ld + range.begin, term.ld, 1,
             term.b.data + (panel * term.b.k + range.begin) * kPanel, kPanel,
             range.end - range.begin);
  }
  sums.Store(c + row * ld_c + panel * kPanel, ld_c, LeastOf(kPanel, n - panel * kPanel));
}

using TileFunction = void (*)(const ProductTerm<float>*, int, int64_t, int64_t, int64_t, float*,
                              int64_t);

void Multiply(const ProductTerm<float>* terms, int count, int64_t rows, int64_t begin, int64_t end,
              int64_t n, float* c, int64_t ld_c) {
  static constexpr TileFunction kTiles[kTileRows] = {MultiplyTile<1>, MultiplyTile<2>,
                                                     MultiplyTile<3>, MultiplyTile<4>,
                                                     MultiplyTile<5>, MultiplyTile<6>};
  for (int64_t panel = begin; panel < end; ++panel) {
    for (int64_t row = 0; row < rows; row += kTileRows)
      kTiles[LeastOf(kTileRows, rows - row) - 1](terms, count, row, panel, n, c, ld_c);
  }
}

// ---- packing

CROSSOVER_INLINE bool AllZero(const float* row) {
  const __m256 zero = _mm256_setzero_ps();
  const __m256 low = _mm256_cmp_ps(_mm256_loadu_ps(row), zero, _CMP_NEQ_UQ);
  const __m256 high = _mm256_cmp_ps(_mm256_loadu_ps(row + 8), zero, _CMP_NEQ_UQ);
  return _mm256_movemask_ps(_mm256_or_ps(low, high)) == 0;
}

StepRange NonZero(const float* panel, int64_t steps) {
  int64_t begin = 0, end = steps;
  while (begin < end && AllZero(panel + kPanel * begin)) ++begin;
  while (end > begin && AllZero(panel + kPanel * (end - 1))) --end;
  return {static_cast<int32_t>(begin), static_cast<int32_t>(end)};
}

void PackPanels(const float* w, int64_t ld, int64_t k, int64_t n, int64_t begin, int64_t end,
                float* to, StepRange* ranges) {
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t columns = LeastOf(kPanel, n - panel * kPanel);
    const float* from = w + panel * kPanel;
    float* out = to + panel * kPanel * k;
    for (int64_t s = 0; s < k; ++s) {
      if (columns == kPanel) {
        _mm256_storeu_ps(out + s * kPanel, _mm256_loadu_ps(from + s * ld));
        _mm256_storeu_ps(out + s * kPanel + 8, _mm256_loadu_ps(from + s * ld + 8));
      } else {
        for (int64_t j = 0; j < kPanel; ++j)
          out[s * kPanel + j] = j < columns ? from[s * ld + j] : 0;
      }
    }
    ranges[panel] = NonZero(out, k);
  }
}

// 8 rows of 8 numbers to 8 columns of 8 numbers.
CROSSOVER_INLINE void Transpose8(__m256 (&rows)[8]) {
  __m256 t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    rows[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    rows[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    rows[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    rows[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) rows[i] = t[i];
}

// Numbers [first, first + 8) of 8 rows, of which `rows` exist, to out, a row of kPanel for each.
CROSSOVER_INLINE void PackBlock(const float* from, int64_t ld, int64_t rows, float* out) {
  __m256 block[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i)
    block[i] = i < rows ? _mm256_loadu_ps(from + i * ld) : _mm256_setzero_ps();
  Transpose8(block);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) _mm256_storeu_ps(out + i * kPanel, block[i]);
}

void PackTransposedPanels(const float* w, int64_t ld, int64_t k, int64_t n, int64_t begin,
                          int64_t end, float* to, StepRange* ranges) {
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t columns = LeastOf(kPanel, n - panel * kPanel);
    const float* from = w + panel * kPanel * ld;
    float* out = to + panel * kPanel * k;
    int64_t s = 0;
    for (; s + 8 <= k; s += 8) {
      for (int64_t half = 0; half < kPanel; half += 8)
        PackBlock(from + half * ld + s, ld, columns - half, out + s * kPanel + half);
    }
    for (; s < k; ++s) {
      for (int64_t j = 0; j < kPanel; ++j) out[s * kPanel + j] = j < columns ? from[j * ld + s] : 0;
    }
    ranges[panel] = NonZero(out, k);
  }
}

// ---- sums over rows

template <int kRows>
void OuterTile(const float* p, int64_t ld_p, const float* q, int64_t ld_q, int64_t rows,
               int64_t columns, float* sums, int64_t ld_sums) {
  Sums<kRows> tile;
  tile.Clear();
  if (columns == kPanel) {
    tile.Add(p, 1, ld_p, q, ld_q, rows);
  } else {
    for (int64_t i = 0; i < rows; ++i) {
      alignas(32) float row[kPanel] = {};
      for (int64_t j = 0; j < columns; ++j) row[j] = q[i * ld_q + j];
      tile.Add(p + i * ld_p, 1, ld_p, row, 0, 1);
    }
  }
  tile.Store(sums, ld_sums, columns);
}

using OuterFunction = void (*)(const float*, int64_t, const float*, int64_t, int64_t, int64_t,
                               float*, int64_t);

void Outer(const float* p, int64_t ld_p, int64_t ranks, const float* q, int64_t ld_q, int64_t rows,
           int64_t width, float* sums, int64_t ld_sums) {
  static constexpr OuterFunction kTiles[kTileRows] = {OuterTile<1>, OuterTile<2>, OuterTile<3>,
                                                      OuterTile<4>, OuterTile<5>, OuterTile<6>};
  for (int64_t column = 0; column < width; column += kPanel) {
    for (int64_t rank = 0; rank < ranks; rank += kTileRows) {
      kTiles[LeastOf(kTileRows, ranks - rank) - 1](p + rank, ld_p, q + column, ld_q, rows,
                                                   LeastOf(kPanel, width - column),
                                                   sums + rank * ld_sums + column, ld_sums);
    }
  }
}

// ---- attention's tiles

template <int kRows>
CROSSOVER_INLINE void SmallTile(int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add,
                                const float* a, const float* b, float* c) {
  Sums<kRows> sums;
  if (add) {
    sums.Load(c, ld_c);
  } else {
    sums.Clear();
  }
  sums.Add(a, ld_a, 1, b, ld_b, k);
  sums.Store(c, ld_c, kPanel);
}

void Tile(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add,
          const float* a, const float* b, float* c) {
  for (int64_t column = 0; column < n; column += kPanel) {
    int64_t row = 0;
    for (; row + kTileRows <= m; row += kTileRows)
      SmallTile<kTileRows>(k, ld_a, ld_b, ld_c, add, a + row * ld_a, b + column,
                           c + row * ld_c + column);
    for (; row + 2 <= m; row += 2)
      SmallTile<2>(k, ld_a, ld_b, ld_c, add, a + row * ld_a, b + column, c + row * ld_c + column);
    if (row < m)
      SmallTile<1>(k, ld_a, ld_b, ld_c, add, a + row * ld_a, b + column, c + row * ld_c + column);
  }
}

}  // namespace

const F32Products& F32ProductsAvx2() {
  static const F32Products products = {PackPanels, PackTransposedPanels, Multiply, Outer, Tile};
  return products;
}

}  // namespace crossover::llm
#endif
