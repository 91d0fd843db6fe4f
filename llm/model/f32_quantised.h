// Products of fp32 rows with a frozen matrix in 8 or 4 bits a number, with AVX2 and FMA: what a
// step with few rows reads. Numbers become fp32 in the registers, so a row's result is the same
// bits for any number of rows. Private to the rooms that compute.
#pragma once

#include <cstdint>

#include "llm/model/panels.h"

namespace crossover::llm {

// Summands of one scale and minimum of an Int4Matrix.
inline constexpr int64_t kInt4Summands = 32;

// B [k, n], column j: numbers times scales[j].
struct Int8Matrix {
  const int8_t* numbers = nullptr;  // [panels][k][16]
  const float* scales = nullptr;    // [panels][16]
  int64_t k = 0;
};

// B [k, n]: number times scale plus minimum, of each 32 summands of a column.
struct Int4Matrix {
  const uint8_t* numbers = nullptr;  // [panels][k][8]: column j in the low, j + 8 in the high half.
  const float* scales = nullptr;     // [panels][k / 32][2][16]: scales, then minima.
  int64_t k = 0;                     // A multiple of 32.
};

struct F32Quantised {
  // c [rows, n] = a B in columns of panels [begin, end), for a [rows, k] of stride ld.
  void (*int8)(const float* a, int64_t ld, int64_t rows, const Int8Matrix& b, int64_t begin,
               int64_t end, int64_t n, float* c, int64_t ld_c);
  void (*int4)(const float* a, int64_t ld, int64_t rows, const Int4Matrix& b, int64_t begin,
               int64_t end, int64_t n, float* c, int64_t ld_c);
};

// Null where this processor lacks AVX2.
const F32Quantised* F32QuantisedHere();

// Compiled for x86-64 only.
const F32Quantised& F32QuantisedAvx2();

}  // namespace crossover::llm
