// Encoders of one block, as ggml's reference writes them without an importance matrix
// (ggml-quants.c, quantize_row_*_ref). Private to this room; layouts are in dequantize.cc.
#pragma once

#include <bit>
#include <cstdint>

#include "llm/formats/tensor_type.h"

namespace crossover::llm {

// Reads BlockSizeOf(type).values finite numbers, writes BlockSizeOf(type).bytes.
using BlockQuantizer = void (*)(const float* values, uint8_t* block);

// nullptr for types that are not made of blocks.
BlockQuantizer BlockQuantizerOf(TensorType type);

// 256 values each (quantize_k.cc).
void QuantizeQ4_K(const float* x, uint8_t* out);
void QuantizeQ5_K(const float* x, uint8_t* out);
void QuantizeQ6_K(const float* x, uint8_t* out);

// Half to even, for |x| below 2^22; anything else gives some number, never a trap.
inline int NearestInt(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x + 12582912.0f);
  return static_cast<int>(bits & 0x007fffffu) - 0x00400000;
}

}  // namespace crossover::llm
