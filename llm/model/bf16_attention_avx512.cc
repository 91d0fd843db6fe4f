// Compiled for AVX-512-BF16, so nothing here may be an inline function with external linkage
// (another file could get its machine code), the standard library's included.
#if defined(__x86_64__)
#include <math.h>

#include "llm/model/bf16_avx512.h"

namespace crossover::llm {

namespace {

// Queries at a time: with four panels that is 24 sums, which with their operands fill the
// registers.
constexpr int kBlockRows = 6;
constexpr int kPanelsOfTile = kAttendKeys / kPanel;

// 2^x to 3e-6 of it, Taylor's series around the nearest integer; 0 for large negative x. Weights
// are rounded to bf16 (4e-3) afterwards.
CROSSOVER_INLINE __m512 Exp2(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(1.3333558e-3f);
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(9.6181291e-3f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(5.5504109e-2f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(2.4022651e-1f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(6.9314718e-1f));
  p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, whole);
}

// What is known of one query so far.
struct Running {
  float* largest;  // The largest score, in powers of 2.
  float* sums;     // [16]: the weights' sum in 16 parts.
};

CROSSOVER_INLINE Running RunningOf(const Attend& task, int64_t row) {
  return {task.memory + row, task.memory + task.rows + row * kPanel};
}

// Columns [16 v, 16 v + 16) of a tile that a query sees.
CROSSOVER_INLINE __mmask16 Visible(int64_t seen, int v) {
  const int64_t columns = seen - v * kPanel;
  return columns >= kPanel ? 0xffff
         : columns <= 0    ? 0
                           : static_cast<__mmask16>((1u << columns) - 1);
}

// Scores of a query in one tile become weights; returns the factor of everything before.
CROSSOVER_INLINE float Weigh(const __m512 (&scores)[kPanelsOfTile], float to_log2, int64_t seen,
                             const Running& running, Bf16Bits* weights) {
  if (seen <= 0) {
    const __m512i zero = _mm512_setzero_si512();
    _mm512_storeu_si512(weights, zero);
    _mm512_storeu_si512(weights + 32, zero);
    return 1;
  }
  const __m512 lowest = _mm512_set1_ps(-INFINITY);
  __m512 largest = lowest;
#pragma GCC unroll 4
  for (int v = 0; v < kPanelsOfTile; ++v)
    largest = _mm512_mask_max_ps(largest, Visible(seen, v), largest, scores[v]);
  const float before = *running.largest;
  const float here = _mm512_reduce_max_ps(largest) * to_log2;
  const float shift = here > before ? here : before;
  *running.largest = shift;
  const float factor =
      before == shift ? 1.0f : _mm512_cvtss_f32(Exp2(_mm512_set1_ps(before - shift)));
  __m512 sum = _mm512_mul_ps(_mm512_loadu_ps(running.sums), _mm512_set1_ps(factor));
#pragma GCC unroll 4
  for (int v = 0; v < kPanelsOfTile; ++v) {
    const __m512 weight = _mm512_maskz_mov_ps(
        Visible(seen, v),
        Exp2(_mm512_fmsub_ps(scores[v], _mm512_set1_ps(to_log2), _mm512_set1_ps(shift))));
    sum = _mm512_add_ps(sum, weight);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(weights + v * kPanel),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(weight)));
  }
  _mm512_storeu_ps(running.sums, sum);
  return factor;
}

// out = factor * out + weights * values for columns [16 panel, …).
template <int kRows, int kPanels>
CROSSOVER_INLINE void AddValues(const Bf16Bits* weights, const float (&factors)[kRows],
                                const Bf16Bits* values, int64_t dim, int64_t panel, float* out) {
  __m512 sums[kRows][kPanels];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanels; ++v) {
      sums[r][v] = _mm512_mul_ps(_mm512_loadu_ps(out + r * dim + (panel + v) * kPanel),
                                 _mm512_set1_ps(factors[r]));
    }
  }
  AddPairs<kRows, kPanels>(weights, kAttendKeys, values + 2 * panel * kPanel, 2 * kPanel, 2 * dim,
                           kAttendKeys / 2, sums);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanels; ++v)
      _mm512_storeu_ps(out + r * dim + (panel + v) * kPanel, sums[r][v]);
  }
}

// Queries [row, row + kRows) and one tile.
template <int kRows>
void Block(const Attend& task, int64_t row, int64_t tile) {
  __m512 scores[kRows][kPanelsOfTile];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelsOfTile; ++v) scores[r][v] = _mm512_setzero_ps();
  }
  AddPairs<kRows, kPanelsOfTile>(task.queries + row * task.dim, task.dim, task.keys[tile],
                                 2 * kPanel, 2 * kAttendKeys, task.dim / 2, scores);
  alignas(64) Bf16Bits weights[kRows * kAttendKeys];
  float factors[kRows];
  const float to_log2 = task.scale * 1.44269504f;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    factors[r] = Weigh(scores[r], to_log2, task.visible[row + r] - tile * kAttendKeys,
                       RunningOf(task, row + r), weights + r * kAttendKeys);
  }
  const int64_t panels = task.dim / kPanel;
  float* out = task.out + row * task.dim;
  int64_t panel = 0;
  for (; panel + 4 <= panels; panel += 4)
    AddValues<kRows, 4>(weights, factors, task.values[tile], task.dim, panel, out);
  for (; panel < panels; ++panel)
    AddValues<kRows, 1>(weights, factors, task.values[tile], task.dim, panel, out);
}

void Begin(const Attend& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    const Running running = RunningOf(task, row);
    *running.largest = -INFINITY;
    _mm512_storeu_ps(running.sums, _mm512_setzero_ps());
  }
  __builtin_memset(task.out, 0, sizeof(float) * task.rows * task.dim);
}

void End(const Attend& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    const Running running = RunningOf(task, row);
    const float sum = _mm512_reduce_add_ps(_mm512_loadu_ps(running.sums));
    task.lse[row] = *running.largest * 0.69314718f + logf(sum);
    const __m512 factor = _mm512_set1_ps(sum > 0 ? 1 / sum : 0);
    float* out = task.out + row * task.dim;
    for (int64_t d = 0; d < task.dim; d += kPanel)
      _mm512_storeu_ps(out + d, _mm512_mul_ps(_mm512_loadu_ps(out + d), factor));
  }
}

using BlockFunction = void (*)(const Attend&, int64_t, int64_t);

}  // namespace

void AttendAvx512Bf16(const Attend& task) {
  static constexpr BlockFunction kBlocks[kBlockRows] = {Block<1>, Block<2>, Block<3>,
                                                        Block<4>, Block<5>, Block<6>};
  Begin(task);
  for (int64_t tile = 0; tile < task.tiles; ++tile) {
    for (int64_t row = 0; row < task.rows; row += kBlockRows)
      kBlocks[Least(kBlockRows, task.rows - row) - 1](task, row, tile);
  }
  End(task);
}

}  // namespace crossover::llm
#endif
