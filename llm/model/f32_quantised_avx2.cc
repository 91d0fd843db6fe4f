// Compiled for AVX2 and FMA, so nothing here may be an inline function with external linkage
// (another file could get its machine code), the standard library's included.
#if defined(__x86_64__)
#include "llm/model/f32_avx2.h"
#include "llm/model/f32_quantised.h"

namespace crossover::llm {

namespace {

CROSSOVER_INLINE __m256 EightOfInt8(const int8_t* numbers) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(numbers))));
}

struct Columns {
  __m256 left, right;
};

template <int kRows>
void Int8Tile(const float* a, int64_t ld, const Int8Matrix& b, int64_t panel, int64_t columns,
              float* c, int64_t ld_c) {
  const int8_t* numbers = b.numbers + panel * b.k * kPanel;
  Sums<kRows> sums;
  sums.Clear();
#pragma GCC unroll 4
  for (int64_t s = 0; s < b.k; ++s, numbers += kPanel) {
    _mm_prefetch(numbers + 4 * kStepsAhead * kPanel, _MM_HINT_T0);
    sums.AddStep(a + s, ld, EightOfInt8(numbers), EightOfInt8(numbers + 8));
  }
  const __m256 left = _mm256_loadu_ps(b.scales + panel * kPanel);
  const __m256 right = _mm256_loadu_ps(b.scales + panel * kPanel + 8);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    sums.low[r] = _mm256_mul_ps(sums.low[r], left);
    sums.high[r] = _mm256_mul_ps(sums.high[r], right);
  }
  sums.Store(c, ld_c, columns);
}

// 16 numbers of one summand, times their scales plus their minima.
CROSSOVER_INLINE Columns Decode(const uint8_t* numbers, const Columns& scale, const Columns& low) {
  const __m256i both =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(numbers)));
  const __m256 left = _mm256_cvtepi32_ps(_mm256_and_si256(both, _mm256_set1_epi32(15)));
  const __m256 right = _mm256_cvtepi32_ps(_mm256_srli_epi32(both, 4));
  return {_mm256_fmadd_ps(left, scale.left, low.left),
          _mm256_fmadd_ps(right, scale.right, low.right)};
}

template <int kRows>
void Int4Tile(const float* a, int64_t ld, const Int4Matrix& b, int64_t panel, int64_t columns,
              float* c, int64_t ld_c) {
  const uint8_t* numbers = b.numbers + panel * b.k * (kPanel / 2);
  const float* scales = b.scales + panel * (b.k / kInt4Summands) * 2 * kPanel;
  Sums<kRows> sums;
  sums.Clear();
  for (int64_t block = 0; block < b.k; block += kInt4Summands, scales += 2 * kPanel) {
    const Columns scale = {_mm256_loadu_ps(scales), _mm256_loadu_ps(scales + 8)};
    const Columns low = {_mm256_loadu_ps(scales + 16), _mm256_loadu_ps(scales + 24)};
#pragma GCC unroll 4
    for (int64_t s = 0; s < kInt4Summands; ++s, numbers += kPanel / 2) {
      const Columns values = Decode(numbers, scale, low);
      sums.AddStep(a + block + s, ld, values.left, values.right);
    }
    _mm_prefetch(numbers + 4 * kStepsAhead * kPanel, _MM_HINT_T0);
  }
  sums.Store(c, ld_c, columns);
}

template <typename Matrix>
using TileFunction = void (*)(const float*, int64_t, const Matrix&, int64_t, int64_t, float*,
                              int64_t);

// `tiles` are those of 1 to kTileRows rows.
template <typename Matrix>
CROSSOVER_INLINE void Multiply(const TileFunction<Matrix> (&tiles)[kTileRows], const float* a,
                               int64_t ld, int64_t rows, const Matrix& b, int64_t begin,
                               int64_t end, int64_t n, float* c, int64_t ld_c) {
  for (int64_t panel = begin; panel < end; ++panel) {
    for (int64_t row = 0; row < rows; row += kTileRows) {
      tiles[LeastOf(kTileRows, rows - row) - 1](a + row * ld, ld, b, panel,
                                                LeastOf(kPanel, n - panel * kPanel),
                                                c + row * ld_c + panel * kPanel, ld_c);
    }
  }
}

void MultiplyInt8(const float* a, int64_t ld, int64_t rows, const Int8Matrix& b, int64_t begin,
                  int64_t end, int64_t n, float* c, int64_t ld_c) {
  static constexpr TileFunction<Int8Matrix> kTiles[kTileRows] = {
      Int8Tile<1>, Int8Tile<2>, Int8Tile<3>, Int8Tile<4>, Int8Tile<5>, Int8Tile<6>};
  Multiply(kTiles, a, ld, rows, b, begin, end, n, c, ld_c);
}

void MultiplyInt4(const float* a, int64_t ld, int64_t rows, const Int4Matrix& b, int64_t begin,
                  int64_t end, int64_t n, float* c, int64_t ld_c) {
  static constexpr TileFunction<Int4Matrix> kTiles[kTileRows] = {
      Int4Tile<1>, Int4Tile<2>, Int4Tile<3>, Int4Tile<4>, Int4Tile<5>, Int4Tile<6>};
  Multiply(kTiles, a, ld, rows, b, begin, end, n, c, ld_c);
}

}  // namespace

const F32Quantised& F32QuantisedAvx2() {
  static const F32Quantised products = {MultiplyInt8, MultiplyInt4};
  return products;
}

}  // namespace crossover::llm
#endif
