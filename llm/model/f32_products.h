// Products of fp32 matrices with AVX2 and FMA: as Bf16Products, for processors that have neither
// bf16 nor AVX-512. Private to the rooms that compute.
//
// For finite A an element's result depends on its row of A and its column of B alone, so it is the
// same however rows and columns are split over threads. Products with zeros of B may be skipped, so
// that infinity or NaN in A times such a zero need not give NaN.
#pragma once

#include <cstdint>

#include "llm/model/panels.h"

namespace crossover::llm {

struct F32Products {
  // Packs panels [begin, end) of B [k, n]: to + panel * 16 * k, ranges + panel.
  // pack: B = w, w [k, n]. pack_transposed: B = w^T, w [n, k]. Rows have stride ld.
  void (*pack)(const float* w, int64_t ld, int64_t k, int64_t n, int64_t begin, int64_t end,
               float* to, StepRange* ranges);
  void (*pack_transposed)(const float* w, int64_t ld, int64_t k, int64_t n, int64_t begin,
                          int64_t end, float* to, StepRange* ranges);
  // c [rows, n] = sum of the terms' products, in columns of panels [begin, end) of them.
  void (*multiply)(const ProductTerm<float>* terms, int terms_count, int64_t rows, int64_t begin,
                   int64_t end, int64_t n, float* c, int64_t ld_c);
  // sums [ranks, width] = p^T q for p [rows, ranks] and q [rows, width].
  void (*outer)(const float* p, int64_t ld_p, int64_t ranks, const float* q, int64_t ld_q,
                int64_t rows, int64_t width, float* sums, int64_t ld_sums);
  // c [m, n] (+)= A B, n a multiple of 16.
  void (*tile)(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add,
               const float* a, const float* b, float* c);
};

// Null where this processor lacks AVX2 or has AVX-512, for which LibTorch's products are faster.
const F32Products* F32ProductsHere();

// Compiled for x86-64 only.
const F32Products& F32ProductsAvx2();

}  // namespace crossover::llm
