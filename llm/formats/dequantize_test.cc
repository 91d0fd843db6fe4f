// Golden values were computed once with the `gguf` Python package; tests/compat compares with it on
// random blocks.
#include "llm/formats/dequantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "common/status/error.h"
#include "llm/formats/float_bits.h"
#include "llm/formats/quantize_rows.h"

namespace crossover::llm {
namespace {

constexpr TensorType kAll[] = {TensorType::kF32,  TensorType::kF16,  TensorType::kBf16,
                               TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0,
                               TensorType::kQ5_1, TensorType::kQ8_0, TensorType::kQ4_K,
                               TensorType::kQ5_K, TensorType::kQ6_K};

// The bytes of one block: byte i is (i * 37 + 11) mod 256, but every half in it is a small number.
std::vector<std::byte> GoldenBlock(TensorType type) {
  std::vector<std::byte> bytes(BlockSizeOf(type).bytes);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 + 11);
  const auto put_half = [&](size_t at, uint16_t half) {
    bytes[at] = static_cast<std::byte>(half & 0xff);
    bytes[at + 1] = static_cast<std::byte>(half >> 8);
  };
  if (type == TensorType::kQ6_K) {
    put_half(208, 0x2a3d);
  } else if (BlockSizeOf(type).values > 1) {
    put_half(0, 0x2a3d);
    const bool two = type == TensorType::kQ4_1 || type == TensorType::kQ5_1 ||
                     type == TensorType::kQ4_K || type == TensorType::kQ5_K;
    if (two) put_half(2, 0xb155);
  }
  return bytes;
}

uint64_t Fnv(std::span<const float> values) {
  uint64_t hash = 1469598103934665603ull;
  for (const float value : values) {
    hash = (hash ^ std::bit_cast<uint32_t>(value)) * 1099511628211ull;
  }
  return hash;
}

TEST(DequantizeTest, EveryTypeGivesTheReferencesBits) {
  const std::vector<std::pair<TensorType, uint64_t>> golden = {
      {TensorType::kQ4_0, 17532484504794616067ull}, {TensorType::kQ4_1, 13364538705815931651ull},
      {TensorType::kQ5_0, 8232828140942373635ull},  {TensorType::kQ5_1, 535073105337789699ull},
      {TensorType::kQ8_0, 6123487028167837187ull},  {TensorType::kQ4_K, 3425775249174507747ull},
      {TensorType::kQ5_K, 2949538194117417671ull},  {TensorType::kQ6_K, 12996324021019361513ull},
  };
  ASSERT_EQ(golden.size(), 8u);
  for (const auto& [type, hash] : golden) {
    std::vector<float> values(BlockSizeOf(type).values);
    ASSERT_TRUE(Dequantize(type, GoldenBlock(type), values).ok());
    EXPECT_EQ(Fnv(values), hash) << NameOf(type);
  }
}

TEST(DequantizeTest, Bf16IsTheRoundedFloat) {
  for (const TensorType type : kAll) {
    std::vector<std::byte> data;
    for (int i = 0; i < 3; ++i) {
      const auto block = GoldenBlock(type);
      data.insert(data.end(), block.begin(), block.end());
    }
    std::vector<float> floats(3 * BlockSizeOf(type).values);
    std::vector<uint16_t> halves(floats.size());
    ASSERT_TRUE(Dequantize(type, data, floats).ok());
    ASSERT_TRUE(DequantizeToBf16(type, data, halves).ok());
    for (size_t i = 0; i < floats.size(); ++i)
      EXPECT_EQ(halves[i], FloatToBf16(floats[i])) << NameOf(type);
  }
}

TEST(DequantizeTest, WrongSizesAreRefused) {
  for (const TensorType type : kAll) {
    std::vector<std::byte> data(BlockSizeOf(type).bytes - 1);
    std::vector<float> out(BlockSizeOf(type).values);
    EXPECT_TRUE(HasReason(Dequantize(type, data, out), "FORMAT_INVALID")) << NameOf(type);
  }
}

TEST(QuantizeTest, Q8RoundsHalfAwayFromZeroAndKeepsZeroBlocks) {
  std::vector<float> values(64, 0.0f);
  values[0] = 127;
  values[1] = 0.5f;
  values[2] = -0.5f;
  values[3] = -127;
  std::vector<std::byte> out(68);
  ASSERT_TRUE(Quantize(TensorType::kQ8_0, values, out).ok());
  EXPECT_EQ(static_cast<int8_t>(out[2]), 127);
  EXPECT_EQ(static_cast<int8_t>(out[3]), 1);
  EXPECT_EQ(static_cast<int8_t>(out[4]), -1);
  EXPECT_EQ(static_cast<int8_t>(out[5]), -127);
  for (size_t i = 34; i < 68; ++i) EXPECT_EQ(out[i], std::byte{0});
}

// Weights as they occur: normal, with blocks of zeros and of one sign.
std::vector<float> Weights(size_t count) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  std::fill(values.begin(), values.begin() + 256, 0.0f);
  for (size_t i = 256; i < 512; ++i) values[i] = std::fabs(values[i]) + 0.1f;
  return values;
}

double RelativeError(TensorType type, const std::vector<float>& values) {
  std::vector<std::byte> out(BytesOf(type, static_cast<int64_t>(values.size())));
  std::vector<float> back(values.size());
  EXPECT_TRUE(Quantize(type, values, out).ok());
  EXPECT_TRUE(Dequantize(type, out, back).ok());
  double error = 0, size = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - back[i], 2);
    size += std::pow(static_cast<double>(values[i]), 2);
  }
  return std::sqrt(error / size);
}

// More bits, smaller errors; tests/compat compares with llama.cpp's own.
TEST(QuantizeTest, ErrorsAreThoseOfTheBits) {
  const std::vector<float> values = Weights(64 * 256);
  EXPECT_LT(RelativeError(TensorType::kQ8_0, values), 0.006);
  EXPECT_LT(RelativeError(TensorType::kQ6_K, values), 0.02);
  EXPECT_LT(RelativeError(TensorType::kQ5_K, values), 0.04);
  EXPECT_LT(RelativeError(TensorType::kQ5_1, values), 0.05);
  EXPECT_LT(RelativeError(TensorType::kQ5_0, values), 0.06);
  EXPECT_LT(RelativeError(TensorType::kQ4_K, values), 0.08);
  EXPECT_LT(RelativeError(TensorType::kQ4_1, values), 0.10);
  EXPECT_LT(RelativeError(TensorType::kQ4_0, values), 0.12);
}

TEST(QuantizeTest, NumbersAtTheEdgeOfFloatsDoNotTrap) {
  for (const TensorType type : kAll) {
    if (BlockSizeOf(type).values == 1) continue;
    std::vector<float> values(256);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = i % 2 == 0 ? std::numeric_limits<float>::denorm_min() * static_cast<float>(i)
                             : -std::numeric_limits<float>::denorm_min();
    }
    std::vector<std::byte> out(BytesOf(type, 256));
    EXPECT_TRUE(Quantize(type, values, out).ok()) << NameOf(type);
    values[3] = std::numeric_limits<float>::max();
    values[5] = std::numeric_limits<float>::lowest();
    EXPECT_TRUE(Quantize(type, values, out).ok()) << NameOf(type);
    values[200] = std::numeric_limits<float>::quiet_NaN();
    const absl::Status status = Quantize(type, values, out);
    EXPECT_TRUE(HasReason(status, "NOT_FINITE")) << NameOf(type);
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("200"));
  }
}

TEST(QuantizeTest, ThreadsDoNotChangeTheBytes) {
  const std::vector<float> values = Weights(4096 * 64);
  for (const TensorType type : {TensorType::kQ4_K, TensorType::kQ6_K, TensorType::kF16}) {
    std::vector<std::byte> alone(BytesOf(type, static_cast<int64_t>(values.size())));
    std::vector<std::byte> together(alone.size());
    ASSERT_TRUE(Quantize(type, values, alone).ok());
    ASSERT_TRUE(QuantizeRows(type, values, 512, together).ok());
    EXPECT_EQ(alone, together) << NameOf(type);
  }
}

TEST(FloatBitsTest, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t half = 0; half < 65536; ++half) {
    const float value = HalfToFloat(static_cast<uint16_t>(half));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(value))));
    } else {
      EXPECT_EQ(FloatToHalf(value), half);
    }
  }
}

TEST(FloatBitsTest, RoundsToNearestEven) {
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f), 0x3c00);      // tie, down to even
  EXPECT_EQ(FloatToHalf(1.0f + 3 * 0x1p-11f), 0x3c02);  // tie, up to even
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);  // rounds to infinity
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0x0000);  // half of the least subnormal, down to even
  EXPECT_EQ(FloatToHalf(-0x1.8p-25f), 0x8001);
  EXPECT_EQ(FloatToBf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(FloatToBf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace crossover::llm
