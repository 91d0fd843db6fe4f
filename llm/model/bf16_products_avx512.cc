// Compiled for AVX-512-BF16, so nothing here may be an inline function with external linkage
// (another file could get its machine code), the standard library's included.
#if defined(__x86_64__)
#include "llm/model/bf16_avx512.h"

namespace crossover::llm {

namespace {

// Rows of a tile: with two panels that is 24 sums, which with their operands fill the registers.
constexpr int kTileRows = 12;
constexpr int kOuterRanks = 8;

template <int kRows, int kPanels>
CROSSOVER_INLINE void AddTerm(const ProductTerm<Bf16Bits>& term, int64_t row, int64_t panel,
                              __m512 (&sums)[kRows][kPanels]) {
  StepRange range = term.b.ranges[panel];
  for (int v = 1; v < kPanels; ++v) {
    const StepRange& other = term.b.ranges[panel + v];
    if (other.begin == other.end) continue;
    if (range.begin == range.end) range = other;
    if (other.begin < range.begin) range.begin = other.begin;
    if (other.end > range.end) range.end = other.end;
  }
  if (range.begin == range.end) return;
  const int64_t stride = 2 * kPanel * Pairs(term.b.k);
  const Bf16Bits* a = term.a + row * term.ld;
  const Bf16Bits* b = term.b.data + panel * stride;
  const int64_t whole = Least(range.end, term.b.k / 2);
  AddPairs<kRows, kPanels>(a + 2 * range.begin, term.ld, b + 2 * kPanel * range.begin, stride,
                           2 * kPanel, whole - range.begin, sums);
  if (whole == range.end) return;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const __m512bh last = BroadcastLast(a + r * term.ld + 2 * whole);
#pragma GCC unroll 8
    for (int v = 0; v < kPanels; ++v) {
      sums[r][v] =
          _mm512_dpbf16_ps(sums[r][v], last, LoadPairs(b + v * stride + 2 * kPanel * whole));
    }
  }
}

template <int kRows, int kPanels>
void MultiplyTile(const ProductTerm<Bf16Bits>* terms, int count, int64_t row, int64_t panel,
                  int64_t n, Bf16Bits* c, int64_t ld_c) {
  __m512 sums[kRows][kPanels];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kPanels; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  for (int t = 0; t < count; ++t) AddTerm<kRows, kPanels>(terms[t], row, panel, sums);
  Bf16Bits* to = c + row * ld_c + panel * kPanel;
#pragma GCC unroll 8
  for (int v = 0; v < kPanels; ++v) {
    const int64_t columns = Least(kPanel, n - (panel + v) * kPanel);
    const __mmask16 mask = static_cast<__mmask16>((1u << columns) - 1);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      _mm256_mask_storeu_epi16(to + r * ld_c + v * kPanel, mask,
                               reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums[r][v])));
    }
  }
}

using TileFunction = void (*)(const ProductTerm<Bf16Bits>*, int, int64_t, int64_t, int64_t,
                              Bf16Bits*, int64_t);

template <int kPanels>
void MultiplyPanels(const ProductTerm<Bf16Bits>* terms, int count, int64_t rows, int64_t panel,
                    int64_t n, Bf16Bits* c, int64_t ld_c) {
  static constexpr TileFunction kTiles[kTileRows] = {
      MultiplyTile<1, kPanels>,  MultiplyTile<2, kPanels>,  MultiplyTile<3, kPanels>,
      MultiplyTile<4, kPanels>,  MultiplyTile<5, kPanels>,  MultiplyTile<6, kPanels>,
      MultiplyTile<7, kPanels>,  MultiplyTile<8, kPanels>,  MultiplyTile<9, kPanels>,
      MultiplyTile<10, kPanels>, MultiplyTile<11, kPanels>, MultiplyTile<12, kPanels>};
  for (int64_t row = 0; row < rows; row += kTileRows) {
    const int64_t height = Least(kTileRows, rows - row);
    kTiles[height - 1](terms, count, row, panel, n, c, ld_c);
  }
}

void Multiply(const ProductTerm<Bf16Bits>* terms, int count, int64_t rows, int64_t begin,
              int64_t end, int64_t n, Bf16Bits* c, int64_t ld_c) {
  int64_t panel = begin;
  for (; panel + 2 <= end; panel += 2) MultiplyPanels<2>(terms, count, rows, panel, n, c, ld_c);
  if (panel < end) MultiplyPanels<1>(terms, count, rows, panel, n, c, ld_c);
}

// ---- packing

// Pairs that are not all 0 of one packed panel.
StepRange NonZero(const Bf16Bits* panel, int64_t pairs) {
  const auto zero = [&](int64_t p) {
    const __m512i row = _mm512_loadu_si512(panel + 2 * kPanel * p);
    return _mm512_test_epi32_mask(row, row) == 0;
  };
  int64_t begin = 0, end = pairs;
  while (begin < end && zero(begin)) ++begin;
  while (end > begin && zero(end - 1)) --end;
  return {static_cast<int32_t>(begin), static_cast<int32_t>(end)};
}

void PackPanels(const Bf16Bits* w, int64_t ld, int64_t k, int64_t n, int64_t begin, int64_t end,
                Bf16Bits* to, StepRange* ranges) {
  const int64_t pairs = Pairs(k);
  for (int64_t panel = begin; panel < end; ++panel) {
    const __mmask16 mask = static_cast<__mmask16>((1u << Least(kPanel, n - panel * kPanel)) - 1);
    const Bf16Bits* from = w + panel * kPanel;
    Bf16Bits* out = to + panel * 2 * kPanel * pairs;
    for (int64_t p = 0; p < pairs; ++p) {
      const __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + 2 * p * ld));
      const __m512i odd =
          2 * p + 1 < k
              ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + (2 * p + 1) * ld))
              : _mm512_setzero_si512();
      _mm512_storeu_si512(out + 2 * kPanel * p, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
    ranges[panel] = NonZero(out, pairs);
  }
}

// 16 rows of 16 pairs to 16 columns of 16 pairs.
CROSSOVER_INLINE void Transpose16(__m512i (&rows)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

void PackTransposedPanels(const Bf16Bits* w, int64_t ld, int64_t k, int64_t n, int64_t begin,
                          int64_t end, Bf16Bits* to, StepRange* ranges) {
  const int64_t pairs = Pairs(k);
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t columns = Least(kPanel, n - panel * kPanel);
    const Bf16Bits* from = w + panel * kPanel * ld;
    Bf16Bits* out = to + panel * 2 * kPanel * pairs;
    for (int64_t first = 0; first < pairs; first += 16) {
      const int64_t numbers = Least(32, k - 2 * first);
      const __mmask32 mask = static_cast<__mmask32>((uint64_t{1} << numbers) - 1);
      __m512i block[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        block[i] = i < columns ? _mm512_maskz_loadu_epi16(mask, from + i * ld + 2 * first)
                               : _mm512_setzero_si512();
      }
      Transpose16(block);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (first + i < pairs) _mm512_storeu_si512(out + 2 * kPanel * (first + i), block[i]);
      }
    }
    ranges[panel] = NonZero(out, pairs);
  }
}

// ---- sums over rows

// Columns [0, 32) of q, of which `columns` exist.
template <int kRanks>
void OuterTile(const uint32_t* p, int64_t ld_p, const Bf16Bits* q, int64_t ld, int64_t rows,
               int64_t columns, float* sums, int64_t ld_sums) {
  const __mmask32 mask = static_cast<__mmask32>((uint64_t{1} << columns) - 1);
  __m512 low[kRanks], high[kRanks];
#pragma GCC unroll 16
  for (int r = 0; r < kRanks; ++r) low[r] = high[r] = _mm512_setzero_ps();
  for (int64_t i = 0; i < rows; i += 2, q += 2 * ld) {
    const __m512i even = _mm512_maskz_loadu_epi16(mask, q);
    const __m512i odd =
        i + 1 < rows ? _mm512_maskz_loadu_epi16(mask, q + ld) : _mm512_setzero_si512();
    const auto a = reinterpret_cast<__m512bh>(_mm512_unpacklo_epi16(even, odd));
    const auto b = reinterpret_cast<__m512bh>(_mm512_unpackhi_epi16(even, odd));
#pragma GCC unroll 16
    for (int r = 0; r < kRanks; ++r) {
      const auto factor =
          reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(p[r * ld_p + i / 2])));
      low[r] = _mm512_dpbf16_ps(low[r], factor, a);
      high[r] = _mm512_dpbf16_ps(high[r], factor, b);
    }
  }
  // unpacklo took columns 0-3, 8-11, 16-19, 24-27.
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i second =
      _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const __mmask16 mask_low = static_cast<__mmask16>(mask);
  const __mmask16 mask_high = static_cast<__mmask16>(mask >> 16);
#pragma GCC unroll 16
  for (int r = 0; r < kRanks; ++r) {
    float* to = sums + r * ld_sums;
    _mm512_mask_storeu_ps(to, mask_low, _mm512_permutex2var_ps(low[r], first, high[r]));
    _mm512_mask_storeu_ps(to + 16, mask_high, _mm512_permutex2var_ps(low[r], second, high[r]));
  }
}

using OuterFunction = void (*)(const uint32_t*, int64_t, const Bf16Bits*, int64_t, int64_t, int64_t,
                               float*, int64_t);

void Outer(const uint32_t* p, int64_t ranks, const Bf16Bits* q, int64_t ld, int64_t rows,
           int64_t width, float* sums, int64_t ld_sums) {
  static constexpr OuterFunction kTiles[kOuterRanks] = {OuterTile<1>, OuterTile<2>, OuterTile<3>,
                                                        OuterTile<4>, OuterTile<5>, OuterTile<6>,
                                                        OuterTile<7>, OuterTile<8>};
  const int64_t pairs = Pairs(rows);
  for (int64_t column = 0; column < width; column += 32) {
    for (int64_t rank = 0; rank < ranks; rank += kOuterRanks) {
      const int64_t height = Least(kOuterRanks, ranks - rank);
      kTiles[height - 1](p + rank * pairs, pairs, q + column, ld, rows, Least(32, width - column),
                         sums + rank * ld_sums + column, ld_sums);
    }
  }
}

// ---- attention's tiles

template <int kRows, int kPanels>
void Fp32Tile(int64_t pairs, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add, const Bf16Bits* a,
              const Bf16Bits* b, float* c) {
  __m512 sums[kRows][kPanels];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kPanels; ++v) {
      sums[r][v] = add ? _mm512_loadu_ps(c + r * ld_c + v * kPanel) : _mm512_setzero_ps();
    }
  }
  AddPairs<kRows, kPanels>(a, ld_a, b, 2 * kPanel, 2 * ld_b, pairs, sums);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kPanels; ++v) _mm512_storeu_ps(c + r * ld_c + v * kPanel, sums[r][v]);
  }
}

void Tile(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add,
          const Bf16Bits* a, const Bf16Bits* b, float* c) {
  constexpr int64_t kRows = 8;
  for (int64_t column = 0; column < n; column += 2 * kPanel) {
    const bool two = column + 2 * kPanel <= n;
    int64_t row = 0;
    for (; row + kRows <= m; row += kRows) {
      (two ? Fp32Tile<kRows, 2> : Fp32Tile<kRows, 1>)(k / 2, ld_a, ld_b, ld_c, add, a + row * ld_a,
                                                      b + 2 * column, c + row * ld_c + column);
    }
    for (; row < m; ++row) {
      (two ? Fp32Tile<1, 2> : Fp32Tile<1, 1>)(k / 2, ld_a, ld_b, ld_c, add, a + row * ld_a,
                                              b + 2 * column, c + row * ld_c + column);
    }
  }
}

}  // namespace

const Bf16Products& Bf16ProductsAvx512() {
  static const Bf16Products products = {PackPanels, PackTransposedPanels, Multiply, Outer,
                                        Tile,       AttendAvx512Bf16};
  return products;
}

}  // namespace crossover::llm
#endif
