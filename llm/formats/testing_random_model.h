// GGUF models of any shape and type with random weights, for tests and benchmarks: made of random
// blocks, so that no quantiser and no full-precision copy is needed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/status/status_macros.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/float_bits.h"
#include "llm/formats/gguf_writer.h"
#include "llm/formats/names.h"
#include "llm/formats/testing_model.h"

namespace crossover::llm {

// Overwrites the scales of one random block, so that its values have about this deviation and a
// mean of about 0.
inline void ScaleBlock(TensorType type, double deviation, std::byte* block) {
  const auto half = [&](int64_t offset, double value) {
    const uint16_t bits = FloatToHalf(static_cast<float>(value));
    std::memcpy(block + offset, &bits, sizeof(bits));
  };
  // Deviations of what the scale multiplies: 4, 5, 6 and 8 random bits, times 6 (signed: 8) more.
  const double four = deviation / 4.6, five = deviation / 9.2;
  switch (type) {
    case TensorType::kQ4_0:
      return half(0, four);
    case TensorType::kQ4_1:
      half(0, four);
      return half(2, -7.5 * four);
    case TensorType::kQ5_0:
      return half(0, five);
    case TensorType::kQ5_1:
      half(0, five);
      return half(2, -15.5 * five);
    case TensorType::kQ8_0:
      return half(0, deviation / 74);
    case TensorType::kQ4_K:
      half(0, four / 32);
      return half(2, 7.5 * four / 32);
    case TensorType::kQ5_K:
      half(0, five / 32);
      return half(2, 15.5 * five / 32);
    case TensorType::kQ6_K:
      return half(208, deviation / (74 * 18.5));
    default: {  // Plain numbers, in blocks of one.
      uint16_t random;
      std::memcpy(&random, block, sizeof(random));
      const float value = static_cast<float>((random / 32768.0 - 1) * deviation * 1.73);
      if (type == TensorType::kF32) std::memcpy(block, &value, sizeof(value));
      if (type == TensorType::kF16) half(0, value);
      const uint16_t bits = FloatToBf16(value);
      if (type == TensorType::kBf16) std::memcpy(block, &bits, sizeof(bits));
    }
  }
}

// Deviation 1/sqrt(in) in matrices, the types `type_of` says; norms are 1, biases 0. Without a
// tokenizer. A matrix repeats a piece of 1 M values, which nothing here minds.
inline absl::Status WriteRandomModel(const std::filesystem::path& path, const ModelConfig& config,
                                     const std::function<TensorType(const WeightSpec&)>& type_of,
                                     uint64_t seed) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GgufWriter> writer, GgufWriter::Create(path));
  RETURN_IF_ERROR(AddSizes(*writer, config));
  const std::vector<WeightSpec> weights = WeightsOf(config);
  const auto stored_type = [&](const WeightSpec& weight) {
    return weight.shape.size() == 1 ? TensorType::kF32 : type_of(weight);
  };
  for (const WeightSpec& weight : weights) {
    RETURN_IF_ERROR(writer->AddTensor(weight.gguf_name, stored_type(weight), weight.shape));
  }
  std::mt19937_64 random(seed);
  for (const WeightSpec& weight : weights) {
    int64_t values = 1;
    for (const int64_t dimension : weight.shape) values *= dimension;
    if (weight.shape.size() == 1) {
      const bool norm = weight.gguf_name.find("norm") != std::string::npos;
      const std::vector<float> numbers(values, norm ? 1.0f : 0.0f);
      RETURN_IF_ERROR(writer->AppendData(std::as_bytes(std::span(numbers))));
      continue;
    }
    const TensorType type = stored_type(weight);
    const int64_t block_bytes = BlockSizeOf(type).bytes;
    std::vector<std::byte> piece(BytesOf(type, std::min<int64_t>(values, int64_t{1} << 20)));
    std::generate(piece.begin(), piece.end(), [&] { return static_cast<std::byte>(random()); });
    const double deviation = 1 / std::sqrt(static_cast<double>(weight.shape.back()));
    for (size_t i = 0; i < piece.size(); i += block_bytes)
      ScaleBlock(type, deviation, piece.data() + i);
    for (int64_t left = BytesOf(type, values); left > 0;) {
      const int64_t bytes = std::min<int64_t>(left, static_cast<int64_t>(piece.size()));
      RETURN_IF_ERROR(writer->AppendData(std::span(piece).first(bytes)));
      left -= bytes;
    }
  }
  return writer->Finish();
}

}  // namespace crossover::llm
