// NF4, the four-bit type of QLoRA (Dettmers et al., arXiv:2305.14314, appendix E), in the layout of
// bitsandbytes.
//
// A tensor is a row-major sequence of values in blocks of 64. A block keeps the largest magnitude
// (absmax); a value is the index of one of 16 numbers in [-1, 1] that multiplies it. Two indices
// share a byte, the first in the high half. Blocks may cross rows; the last one may be short.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/formats/safetensors.h"

namespace crossover::llm {

inline constexpr std::array<float, 16> kNf4Values = {-1.0f,
                                                     -0.6961928009986877f,
                                                     -0.5250730514526367f,
                                                     -0.39491748809814453f,
                                                     -0.28444138169288635f,
                                                     -0.18477343022823334f,
                                                     -0.09105003625154495f,
                                                     0.0f,
                                                     0.07958029955625534f,
                                                     0.16093020141124725f,
                                                     0.24611230194568634f,
                                                     0.33791524171829224f,
                                                     0.44070982933044434f,
                                                     0.5626170039176941f,
                                                     0.7229568362236023f,
                                                     1.0f};

inline constexpr int64_t kNf4Block = 64;

// One tensor in memory. Copies share codes and absmax.
struct Nf4Tensor {
  int64_t values = 0;
  int64_t block = kNf4Block;
  std::array<float, 16> map = kNf4Values;
  std::span<const std::byte> codes;                  // (values + 1) / 2 bytes, kept by `owner`
  std::shared_ptr<const void> owner;                 // null: the caller keeps them
  std::shared_ptr<const std::vector<float>> absmax;  // one for each block

  int64_t bytes() const { return static_cast<int64_t>(codes.size() + absmax->size() * 4); }
};

// Encodes whole blocks: `values` is a multiple of 64, `codes` has half as many bytes and `absmax` a
// 64th as many numbers. The nearest of the 16 numbers is taken, the smaller one in the middle (as
// bitsandbytes' dQuantizeNF4).
void EncodeNf4(std::span<const float> values, std::span<std::byte> codes, std::span<float> absmax);

// Values [first, first + out.size()), as numbers or rounded to bfloat16 bits.
void DecodeNf4(const Nf4Tensor& tensor, int64_t first, std::span<float> out);
void DecodeNf4(const Nf4Tensor& tensor, int64_t first, std::span<uint16_t> out);

// Whether `name` ("….q_proj.weight") is stored in four bits here, that is with a quantisation state
// beside it.
bool HasBitsandbytesState(const SafetensorsFile& file, const std::string& name);

// Reads such a tensor with what transformers writes beside it: "<name>.absmax" (F32, or U8 with
// "<name>.nested_absmax" and "<name>.nested_quant_map" where the magnitudes are quantised, too),
// "<name>.quant_map" and the JSON "<name>.quant_state.bitsandbytes__nf4". The codes stay in the
// file, which must live as long as the result. InvalidArgument FORMAT_INVALID names the tensor that
// is missing or of a wrong size; Unimplemented MODEL_UNSUPPORTED: FP4.
absl::StatusOr<Nf4Tensor> ReadBitsandbytesNf4(const SafetensorsFile& file, const std::string& name,
                                              const std::vector<int64_t>& shape);

}  // namespace crossover::llm
