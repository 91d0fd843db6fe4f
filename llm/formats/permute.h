// The row order of q and k projections.
//
// Hugging Face stores each head's rows for half-split RoPE (pairs are rows j and j + head_dim/2);
// GGUF files of architecture "llama" store them interleaved (pairs are rows 2j and 2j + 1). Per
// head:
//   gguf[2*j + p] = hf[p*head_dim/2 + j],  p in {0,1}, j in [0, head_dim/2)
// (llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute). Whole rows move, so quantised rows and
// biases (rows of one value) can be moved too, and a LoRA adapter moves the rows of B only.
// Architecture "qwen2" needs none of this.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace crossover::llm {

// The row of the Hugging Face matrix that stands at `gguf_row` of the GGUF matrix.
inline int64_t HfRowOfGgufRow(int64_t gguf_row, int64_t head_dim) {
  const int64_t in_head = gguf_row % head_dim;
  return gguf_row - in_head + (in_head % 2) * (head_dim / 2) + in_head / 2;
}

// `in` and `out` hold heads * head_dim rows of equal size and do not overlap; head_dim is even.
// InvalidArgument if the sizes do not divide so.
absl::Status PermuteHfToGguf(std::span<const std::byte> in, std::span<std::byte> out, int64_t heads,
                             int64_t head_dim);
absl::Status PermuteGgufToHf(std::span<const std::byte> in, std::span<std::byte> out, int64_t heads,
                             int64_t head_dim);

}  // namespace crossover::llm
