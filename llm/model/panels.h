// How the own product kernels take their matrices. Private to the rooms that compute.
#pragma once

#include <cstdint>

namespace crossover::llm {

// Columns of B in one panel.
inline constexpr int64_t kPanel = 16;

// Steps [begin, end) along the summands: pairs of them in bf16, single ones in fp32.
struct StepRange {
  int32_t begin = 0;
  int32_t end = 0;
};

// B [k, n] of a product in panels of 16 columns, panel by panel; in each a row of 16 pairs (bf16:
// two consecutive rows of B) or numbers (fp32) for every step. What is missing at the edges is 0.
template <typename T>
struct PackedMatrix {
  const T* data = nullptr;
  const StepRange* ranges = nullptr;  // Of each panel: the steps that are not all 0.
  int64_t k = 0;
};

// One product A B. Consecutive numbers of a row of A are consecutive in memory.
template <typename T>
struct ProductTerm {
  const T* a = nullptr;
  int64_t ld = 0;  // Numbers between rows of A.
  PackedMatrix<T> b;
};

}  // namespace crossover::llm
