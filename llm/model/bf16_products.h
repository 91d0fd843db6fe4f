// Products of bf16 matrices with AVX-512-BF16: the frozen layers, what an adapter adds to them and
// attention's tiles. Private to the rooms that compute.
//
// Sums are fp32 and rounded once. For finite A an element's result depends on its row of A and its
// column of B alone, so it is the same however rows and columns are split over threads. Products
// with zeros of B may be skipped, so that infinity or NaN in A times such a zero need not give NaN.
// The instruction behind it, vdpbf16ps, takes denormal numbers for 0 and flushes denormal sums to
// 0, whatever MXCSR says (Intel SDM volume 2C, VDPBF16PS).
#pragma once

#include <cstdint>

#include "llm/model/kernels.h"
#include "llm/model/panels.h"

namespace crossover::llm {

// Keys and values of one tile.
inline constexpr int64_t kAttendKeys = 64;

// Attention of some queries of one head to keys and values in tiles: for every query i
//   out[i] = sum_j softmax(scale q_i K^T)_j V_j over the first visible[i] keys,
//   lse[i] = the log-sum-exp of its scaled scores.
// Tile by tile with a running maximum (FlashAttention-2: Dao, arXiv:2307.08691), so that scores
// never leave the registers. A query's result does not depend on the others. A query that sees
// nothing gets 0 and minus infinity.
struct Attend {
  const Bf16Bits* queries = nullptr;  // [rows][dim]
  int64_t rows = 0;
  int64_t dim = 0;                          // A multiple of 16.
  const Bf16Bits* const* keys = nullptr;    // Tiles [dim/2][64] of pairs of a key's numbers.
  const Bf16Bits* const* values = nullptr;  // Tiles [32][dim] of pairs of values.
  int64_t tiles = 0;
  const int32_t* visible = nullptr;  // [rows], at most 64 * tiles.
  float scale = 1;
  float* out = nullptr;     // [rows][dim]
  float* lse = nullptr;     // [rows]
  float* memory = nullptr;  // [rows][17]
};

struct Bf16Products {
  // Packs panels [begin, end) of B [k, n]: to + panel * 32 * pairs(k), ranges + panel.
  // pack: B = w, w [k, n]. pack_transposed: B = w^T, w [n, k]. Rows have stride ld.
  void (*pack)(const Bf16Bits* w, int64_t ld, int64_t k, int64_t n, int64_t begin, int64_t end,
               Bf16Bits* to, StepRange* ranges);
  void (*pack_transposed)(const Bf16Bits* w, int64_t ld, int64_t k, int64_t n, int64_t begin,
                          int64_t end, Bf16Bits* to, StepRange* ranges);
  // c [rows, n] = sum of the terms' products, in columns of panels [begin, end) of them.
  void (*multiply)(const ProductTerm<Bf16Bits>* terms, int terms_count, int64_t rows, int64_t begin,
                   int64_t end, int64_t n, Bf16Bits* c, int64_t ld_c);
  // sums [ranks, width] = p^T q for p [rows, ranks] as its transpose in pairs, [ranks][pairs of
  // rows], and q [rows, width] of stride ld.
  void (*outer)(const uint32_t* p, int64_t ranks, const Bf16Bits* q, int64_t ld, int64_t rows,
                int64_t width, float* sums, int64_t ld_sums);
  // c [m, n] (+)= A B in fp32 for tiles as AttentionKernels packs them: b [k/2][ld_b] pairs, n a
  // multiple of 16, k even.
  void (*tile)(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add,
               const Bf16Bits* a, const Bf16Bits* b, float* c);
  void (*attend)(const Attend& task);
};

// Null where this processor does not have them, or has AMX, for which LibTorch's products are
// faster.
const Bf16Products* Bf16ProductsHere();

// Compiled for x86-64 only.
const Bf16Products& Bf16ProductsAvx512();
void AttendAvx512Bf16(const Attend& task);

}  // namespace crossover::llm
