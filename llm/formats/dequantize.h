// Stored tensor data to numbers and back, bit for bit as ggml's reference does it (ggml-quants.c,
// dequantize_row_* and quantize_row_*_ref). Block layouts are restated in dequantize.cc.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "llm/formats/tensor_type.h"

namespace crossover::llm {

// Fills `out` from `data`, which must be exactly the bytes of out.size() values (so a multiple of
// the block size): InvalidArgument otherwise. Rows are whole numbers of blocks, so a big tensor can
// be converted in row ranges by several threads. Pure function.
absl::Status Dequantize(TensorType type, std::span<const std::byte> data, std::span<float> out);

// The same, rounded to bfloat16 (nearest even) and given as bits.
absl::Status DequantizeToBf16(TensorType type, std::span<const std::byte> data,
                              std::span<uint16_t> out);

// Encodes `values` into `out`, which must have exactly the size they take. InvalidArgument
// NOT_FINITE if a type made of blocks is asked to hold an infinity or NaN. Pure function; row
// ranges can be encoded by several threads.
absl::Status Quantize(TensorType type, std::span<const float> values, std::span<std::byte> out);

// Bytes that `values` numbers of this type take; `values` must be a multiple of the block size.
inline int64_t BytesOf(TensorType type, int64_t values) {
  const BlockSize block = BlockSizeOf(type);
  return values / block.values * block.bytes;
}

}  // namespace crossover::llm
