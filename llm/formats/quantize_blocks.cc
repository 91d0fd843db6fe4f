// Blocks of 32 values. q is cut off after adding a half, as the reference does it.
#include "llm/formats/quantize_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "llm/formats/float_bits.h"

namespace crossover::llm {
namespace {

constexpr int kValues = 32;

void PutHalf(uint8_t* out, float value) {
  const uint16_t half = FloatToHalf(value);
  std::memcpy(out, &half, sizeof(half));
}

// The value of greatest magnitude, with its sign; the first of equals.
float Extreme(const float* x) {
  float largest = 0, extreme = 0;
  for (int j = 0; j < kValues; ++j) {
    if (std::fabs(x[j]) <= largest) continue;
    largest = std::fabs(x[j]);
    extreme = x[j];
  }
  return extreme;
}

struct Range {
  float min;
  float max;
};
Range RangeOf(const float* x) {
  const auto [min, max] = std::minmax_element(x, x + kValues);
  return {*min, *max};
}

// 0 where d is too small for a reciprocal: as a half it is 0, too.
float InverseOf(float d) { return std::isfinite(1.0f / d) ? 1.0f / d : 0.0f; }

// Value j and value j + 16 as the two nibbles of byte j; their fifth bits go to `fifths`.
template <typename Encode>
void PutNibbles(uint8_t* qs, uint32_t* fifths, const Encode& encode) {
  for (int j = 0; j < 16; ++j) {
    const uint32_t low = encode(j), high = encode(j + 16);
    qs[j] = static_cast<uint8_t>((low & 15) | ((high & 15) << 4));
    if (fifths != nullptr) *fifths |= ((low >> 4) << j) | ((high >> 4) << (j + 16));
  }
}

void QuantizeQ4_0(const float* x, uint8_t* out) {
  const float d = Extreme(x) / -8.0f;
  const float inverse = InverseOf(d);
  PutHalf(out, d);
  PutNibbles(out + 2, nullptr, [&](int j) {
    return static_cast<uint32_t>(std::min(15, static_cast<int>(x[j] * inverse + 8.5f)));
  });
}

// Of a number that is not negative, to the bit as llama.cpp rounds it.
int Rounded(float value) {
  return static_cast<int>(value + 0.5f);  // NOLINT(bugprone-incorrect-roundings)
}

void QuantizeQ4_1(const float* x, uint8_t* out) {
  const Range range = RangeOf(x);
  const float d = (range.max - range.min) / 15.0f;
  const float inverse = InverseOf(d);
  PutHalf(out, d);
  PutHalf(out + 2, range.min);
  PutNibbles(out + 4, nullptr, [&](int j) {
    return static_cast<uint32_t>(std::min(15, Rounded((x[j] - range.min) * inverse)));
  });
}

void QuantizeQ5_0(const float* x, uint8_t* out) {
  const float d = Extreme(x) / -16.0f;
  const float inverse = InverseOf(d);
  PutHalf(out, d);
  uint32_t fifths = 0;
  PutNibbles(out + 6, &fifths, [&](int j) {
    return static_cast<uint32_t>(std::min(31, static_cast<int>(x[j] * inverse + 16.5f)));
  });
  std::memcpy(out + 2, &fifths, sizeof(fifths));
}

void QuantizeQ5_1(const float* x, uint8_t* out) {
  const Range range = RangeOf(x);
  const float d = (range.max - range.min) / 31.0f;
  const float inverse = InverseOf(d);
  PutHalf(out, d);
  PutHalf(out + 2, range.min);
  uint32_t fifths = 0;
  PutNibbles(out + 8, &fifths, [&](int j) {
    return static_cast<uint32_t>(std::min(31, Rounded((x[j] - range.min) * inverse)));
  });
  std::memcpy(out + 4, &fifths, sizeof(fifths));
}

// d = max|x| / 127, q = round half away from zero of x / d.
void QuantizeQ8_0(const float* x, uint8_t* out) {
  const float d = std::fabs(Extreme(x)) / 127.0f;
  const float inverse = InverseOf(d);
  PutHalf(out, d);
  for (int j = 0; j < kValues; ++j) {
    out[2 + j] = static_cast<uint8_t>(static_cast<int8_t>(std::round(x[j] * inverse)));
  }
}

}  // namespace

BlockQuantizer BlockQuantizerOf(TensorType type) {
  switch (type) {
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kBf16:
      return nullptr;
    case TensorType::kQ4_0:
      return QuantizeQ4_0;
    case TensorType::kQ4_1:
      return QuantizeQ4_1;
    case TensorType::kQ5_0:
      return QuantizeQ5_0;
    case TensorType::kQ5_1:
      return QuantizeQ5_1;
    case TensorType::kQ8_0:
      return QuantizeQ8_0;
    case TensorType::kQ4_K:
      return QuantizeQ4_K;
    case TensorType::kQ5_K:
      return QuantizeQ5_K;
    case TensorType::kQ6_K:
      return QuantizeQ6_K;
  }
  return nullptr;  // Unreachable.
}

}  // namespace crossover::llm
