// Block layouts (d, m, dmin: IEEE half; low nibbles are the first half of a block, high nibbles the
// second):
//   Q4_0  32 values  d qs[16]                 d*(q-8)
//   Q4_1  32         d m qs[16]               d*q+m
//   Q5_0  32         d qh[4] qs[16]           d*(q-16), bit j of qh is bit 4 of value j
//   Q5_1  32         d m qh[4] qs[16]         d*q+m
//   Q8_0  32         d qs[32] (signed)        d*q
//   Q4_K  256        d dmin scales[12] qs[128]          d*sc*q - dmin*m, 8 sub-blocks of 32 with
//   6-bit sc and m Q5_K  256        d dmin scales[12] qh[32] qs[128]   as Q4_K with a fifth bit
//   Q6_K  256        ql[128] qh[64] scales[16] d        d*sc*(q-32), 16 sub-blocks of 16
// Products are formed in ggml's order and this file is compiled without contraction to FMA, so
// results are bit-equal.
#include "llm/formats/dequantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "llm/formats/float_bits.h"
#include "llm/formats/quantize_blocks.h"

namespace crossover::llm {
namespace {

using Bytes = const uint8_t*;

float HalfAt(Bytes p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof(half));
  return HalfToFloat(half);
}

void BlockF32(Bytes in, float* out) { std::memcpy(out, in, sizeof(float)); }
void BlockF16(Bytes in, float* out) { *out = HalfAt(in); }

void BlockBf16(Bytes in, float* out) {
  uint16_t bits;
  std::memcpy(&bits, in, sizeof(bits));
  *out = Bf16ToFloat(bits);
}

void BlockQ4_0(Bytes in, float* out) {
  const float d = HalfAt(in);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>((in[2 + j] & 15) - 8) * d;
    out[j + 16] = static_cast<float>((in[2 + j] >> 4) - 8) * d;
  }
}

void BlockQ4_1(Bytes in, float* out) {
  const float d = HalfAt(in);
  const float m = HalfAt(in + 2);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(in[4 + j] & 15) * d + m;
    out[j + 16] = static_cast<float>(in[4 + j] >> 4) * d + m;
  }
}

// The five-bit value j (first half) and j + 16 (second half) of a Q5 block.
struct FiveBits {
  int low;
  int high;
};
FiveBits Q5At(uint32_t qh, uint8_t nibbles, int j) {
  return {static_cast<int>((nibbles & 15) | (((qh >> j) & 1) << 4)),
          static_cast<int>((nibbles >> 4) | (((qh >> (j + 16)) & 1) << 4))};
}

void BlockQ5_0(Bytes in, float* out) {
  const float d = HalfAt(in);
  uint32_t qh;
  std::memcpy(&qh, in + 2, sizeof(qh));
  for (int j = 0; j < 16; ++j) {
    const FiveBits q = Q5At(qh, in[6 + j], j);
    out[j] = static_cast<float>(q.low - 16) * d;
    out[j + 16] = static_cast<float>(q.high - 16) * d;
  }
}

void BlockQ5_1(Bytes in, float* out) {
  const float d = HalfAt(in);
  const float m = HalfAt(in + 2);
  uint32_t qh;
  std::memcpy(&qh, in + 4, sizeof(qh));
  for (int j = 0; j < 16; ++j) {
    const FiveBits q = Q5At(qh, in[8 + j], j);
    out[j] = static_cast<float>(q.low) * d + m;
    out[j + 16] = static_cast<float>(q.high) * d + m;
  }
}

void BlockQ8_0(Bytes in, float* out) {
  const float d = HalfAt(in);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(static_cast<int8_t>(in[2 + j])) * d;
}

// Scale and minimum of sub-block j (0..7), six bits each, packed in 12 bytes.
struct ScaleMin {
  float scale;
  float min;
};
ScaleMin ScaleMinAt(Bytes scales, int j) {
  if (j < 4) {
    return {static_cast<float>(scales[j] & 63), static_cast<float>(scales[j + 4] & 63)};
  }
  return {static_cast<float>((scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4)),
          static_cast<float>((scales[j + 4] >> 4) | ((scales[j] >> 6) << 4))};
}

void BlockQ4_K(Bytes in, float* out) {
  const float d = HalfAt(in);
  const float dmin = HalfAt(in + 2);
  Bytes scales = in + 4;
  Bytes qs = in + 16;
  for (int group = 0; group < 4; ++group) {
    const ScaleMin low = ScaleMinAt(scales, 2 * group);
    const ScaleMin high = ScaleMinAt(scales, 2 * group + 1);
    const float d1 = d * low.scale, m1 = dmin * low.min;
    const float d2 = d * high.scale, m2 = dmin * high.min;
    for (int l = 0; l < 32; ++l) {
      out[64 * group + l] = d1 * static_cast<float>(qs[32 * group + l] & 15) - m1;
      out[64 * group + 32 + l] = d2 * static_cast<float>(qs[32 * group + l] >> 4) - m2;
    }
  }
}

void BlockQ5_K(Bytes in, float* out) {
  const float d = HalfAt(in);
  const float dmin = HalfAt(in + 2);
  Bytes scales = in + 4;
  Bytes qh = in + 16;
  Bytes qs = in + 48;
  for (int group = 0; group < 4; ++group) {
    const ScaleMin low = ScaleMinAt(scales, 2 * group);
    const ScaleMin high = ScaleMinAt(scales, 2 * group + 1);
    const float d1 = d * low.scale, m1 = dmin * low.min;
    const float d2 = d * high.scale, m2 = dmin * high.min;
    for (int l = 0; l < 32; ++l) {
      const int fifth_low = (qh[l] >> (2 * group)) & 1;
      const int fifth_high = (qh[l] >> (2 * group + 1)) & 1;
      const uint8_t q = qs[32 * group + l];
      out[64 * group + l] = d1 * static_cast<float>((q & 15) + 16 * fifth_low) - m1;
      out[64 * group + 32 + l] = d2 * static_cast<float>((q >> 4) + 16 * fifth_high) - m2;
    }
  }
}

void BlockQ6_K(Bytes in, float* out) {
  const float d = HalfAt(in + 208);
  for (int half = 0; half < 2; ++half) {
    Bytes ql = in + 64 * half;
    Bytes qh = in + 128 + 32 * half;
    const int8_t* scales = reinterpret_cast<const int8_t*>(in + 192 + 8 * half);
    float* y = out + 128 * half;
    for (int l = 0; l < 32; ++l) {
      const int is = l / 16;
      const int q1 = ((ql[l] & 15) | ((qh[l] & 3) << 4)) - 32;
      const int q2 = ((ql[l + 32] & 15) | (((qh[l] >> 2) & 3) << 4)) - 32;
      const int q3 = ((ql[l] >> 4) | (((qh[l] >> 4) & 3) << 4)) - 32;
      const int q4 = ((ql[l + 32] >> 4) | (((qh[l] >> 6) & 3) << 4)) - 32;
      y[l] = d * static_cast<float>(scales[is]) * static_cast<float>(q1);
      y[l + 32] = d * static_cast<float>(scales[is + 2]) * static_cast<float>(q2);
      y[l + 64] = d * static_cast<float>(scales[is + 4]) * static_cast<float>(q3);
      y[l + 96] = d * static_cast<float>(scales[is + 6]) * static_cast<float>(q4);
    }
  }
}

using BlockFunction = void (*)(Bytes, float*);

BlockFunction BlockFunctionOf(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return BlockF32;
    case TensorType::kF16:
      return BlockF16;
    case TensorType::kBf16:
      return BlockBf16;
    case TensorType::kQ4_0:
      return BlockQ4_0;
    case TensorType::kQ4_1:
      return BlockQ4_1;
    case TensorType::kQ5_0:
      return BlockQ5_0;
    case TensorType::kQ5_1:
      return BlockQ5_1;
    case TensorType::kQ8_0:
      return BlockQ8_0;
    case TensorType::kQ4_K:
      return BlockQ4_K;
    case TensorType::kQ5_K:
      return BlockQ5_K;
    case TensorType::kQ6_K:
      return BlockQ6_K;
  }
  return nullptr;  // Unreachable.
}

absl::Status CheckSizes(TensorType type, size_t bytes, size_t values) {
  const BlockSize block = BlockSizeOf(type);
  const bool whole = values % static_cast<size_t>(block.values) == 0;
  if (whole && bytes == static_cast<size_t>(BytesOf(type, static_cast<int64_t>(values)))) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(values, " values of type ", ToAbsl(NameOf(type)), " do not fit ", bytes,
                            " bytes (", block.values, " values take ", block.bytes, " bytes)"));
}

void QuantizeTo16Bits(std::span<const float> values, std::byte* out, uint16_t (*convert)(float)) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = convert(values[i]);
    std::memcpy(out + 2 * i, &bits, sizeof(bits));
  }
}

// A block's scale is shared, so one number that is not finite would spoil its neighbours, too.
absl::Status CheckFinite(std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return Error(absl::StatusCode::kInvalidArgument, "NOT_FINITE",
                 absl::StrCat("value ", i, " is ", values[i], ", which has no quantised form"));
  }
  return absl::OkStatus();
}

absl::Status QuantizeBlocks(TensorType type, std::span<const float> values, uint8_t* out) {
  const absl::Status finite = CheckFinite(values);
  if (!finite.ok()) return finite;
  const BlockSize block = BlockSizeOf(type);
  const BlockQuantizer quantize = BlockQuantizerOf(type);
  for (size_t i = 0; i < values.size(); i += block.values, out += block.bytes) {
    quantize(&values[i], out);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Dequantize(TensorType type, std::span<const std::byte> data, std::span<float> out) {
  const absl::Status sizes = CheckSizes(type, data.size(), out.size());
  if (!sizes.ok()) return sizes;
  if (out.empty()) return absl::OkStatus();
  if (type == TensorType::kF32) {
    std::memcpy(out.data(), data.data(), data.size());
    return absl::OkStatus();
  }
  const BlockSize block = BlockSizeOf(type);
  const BlockFunction convert = BlockFunctionOf(type);
  Bytes in = reinterpret_cast<Bytes>(data.data());
  for (size_t i = 0; i < out.size(); i += block.values, in += block.bytes) convert(in, &out[i]);
  return absl::OkStatus();
}

absl::Status DequantizeToBf16(TensorType type, std::span<const std::byte> data,
                              std::span<uint16_t> out) {
  const absl::Status sizes = CheckSizes(type, data.size(), out.size());
  if (!sizes.ok()) return sizes;
  if (out.empty()) return absl::OkStatus();
  if (type == TensorType::kBf16) {
    std::memcpy(out.data(), data.data(), data.size());
    return absl::OkStatus();
  }
  const BlockSize block = BlockSizeOf(type);
  const BlockFunction convert = BlockFunctionOf(type);
  Bytes in = reinterpret_cast<Bytes>(data.data());
  std::array<float, 256> values;
  for (size_t i = 0; i < out.size(); i += block.values, in += block.bytes) {
    convert(in, values.data());
    for (int64_t j = 0; j < block.values; ++j) out[i + j] = FloatToBf16(values[j]);
  }
  return absl::OkStatus();
}

absl::Status Quantize(TensorType type, std::span<const float> values, std::span<std::byte> out) {
  const absl::Status sizes = CheckSizes(type, out.size(), values.size());
  if (!sizes.ok()) return sizes;
  if (values.empty()) return absl::OkStatus();
  switch (type) {
    case TensorType::kF32:
      std::memcpy(out.data(), values.data(), out.size());
      return absl::OkStatus();
    case TensorType::kF16:
      QuantizeTo16Bits(values, out.data(), FloatToHalf);
      return absl::OkStatus();
    case TensorType::kBf16:
      QuantizeTo16Bits(values, out.data(), FloatToBf16);
      return absl::OkStatus();
    default:
      return QuantizeBlocks(type, values, reinterpret_cast<uint8_t*>(out.data()));
  }
}

}  // namespace crossover::llm
