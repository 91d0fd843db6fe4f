// Merged safetensors and GGUF adapters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "common/status/error.h"
#include "common/testing/temp_dir.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/float_bits.h"
#include "llm/formats/gguf_adapter.h"
#include "llm/formats/hf_export.h"
#include "llm/formats/permute.h"
#include "llm/formats/safetensors_writer.h"
#include "llm/formats/testing_disk.h"
#include "llm/formats/testing_model.h"

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Numbers that name their place, exact in BF16.
float Number(const WeightSpec& weight, size_t i) {
  return static_cast<float>((i + weight.hf_name.size()) % 128) - 64.0f;
}

absl::Status Fill(const WeightSpec& weight, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = Number(weight, i);
  return absl::OkStatus();
}

TEST(SafetensorsExportTest, ShardsHoldEveryWeightOnceAndTheIndexFindsThem) {
  const crossover::testing::TempDir folder;
  const ModelConfig config = SmallModel(Architecture::kQwen3);
  const absl::Status status = ExportSafetensors(
      config, Fill, {.shard_bytes = 20'000, .metadata = {{"crossover.adapter", "sha256:1"}}},
      folder.path());
  ASSERT_TRUE(status.ok()) << status;
  const auto index = nlohmann::json::parse(
      ReadTextFile(folder / "model.safetensors.index.json").value(), nullptr, false);
  const std::vector<WeightSpec> weights = WeightsOf(config);
  ASSERT_EQ(index["weight_map"].size(), weights.size());
  uint64_t total = 0;
  for (const WeightSpec& weight : weights) {
    const std::string name = index["weight_map"][weight.hf_name];
    const auto file = SafetensorsFile::Open(folder / name).value();
    EXPECT_THAT(file->metadata(),
                ElementsAre(std::pair("crossover.adapter", "sha256:1"), std::pair("format", "pt")));
    const SafetensorsTensor* tensor = file->FindTensor(weight.hf_name);
    ASSERT_NE(tensor, nullptr) << weight.hf_name;
    EXPECT_EQ(tensor->dtype, Dtype::kBf16);
    EXPECT_EQ(tensor->shape, weight.shape);
    std::vector<float> values(tensor->values());
    ASSERT_TRUE(ToFloats(*tensor, values).ok());
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], Number(weight, i));
    total += tensor->data.size();
  }
  EXPECT_EQ(index["metadata"]["total_size"], total);
  std::set<std::string> files;
  for (const auto& [weight, name] : index["weight_map"].items()) files.insert(name);
  ASSERT_GT(files.size(), 9u);
  EXPECT_EQ(*files.begin(), "model-00001-of-000" + std::to_string(files.size()) + ".safetensors");
}

TEST(SafetensorsExportTest, ASmallModelIsOneFileAndAFullDiskLeavesNone) {
  const crossover::testing::TempDir folder;
  const ModelConfig config = SmallModel();
  {
    const FullDisk disk(16 << 10);
    EXPECT_TRUE(HasReason(ExportSafetensors(config, Fill, {}, folder.path()), "DISK_FULL"));
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
  ASSERT_TRUE(ExportSafetensors(config, Fill, {}, folder.path()).ok());
  EXPECT_TRUE(SafetensorsFile::Open(folder / "model.safetensors").ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "model.safetensors.index.json"));
}

TEST(SafetensorsWriterTest, DataOfAnotherLengthAreRefused) {
  const crossover::testing::TempDir folder;
  const auto create = [&] {
    return SafetensorsWriter::Create(folder / "f", {{"a", Dtype::kU8, {2}}}, {}).value();
  };
  const std::vector<std::byte> three(3);
  EXPECT_TRUE(HasReason(create()->Append(three), "FORMAT_INVALID"));
  EXPECT_TRUE(HasReason(create()->Finish(), "FORMAT_INVALID"));
  EXPECT_TRUE(HasReason(
      SafetensorsWriter::Create(folder / "f", {{"a", Dtype::kU8, {2}}, {"a", Dtype::kU8, {3}}}, {})
          .status(),
      "FORMAT_INVALID"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(HfConfigJsonTest, ComesBackAsItWas) {
  for (const Architecture architecture :
       {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3}) {
    ModelConfig config = SmallModel(architecture);
    config.rope_theta = 500000;
    config.rms_norm_eps = static_cast<double>(1e-5f);
    config.tied_embeddings = architecture != Architecture::kQwen3;
    config.rope_divisors = Llama3RopeDivisors(config.head_dim, config.rope_theta, 32, 1, 4, 8192);
    if (architecture == Architecture::kQwen2) config.sliding_window = 64;
    const auto json = HfConfigJson(config, {.bos = 1, .ends = {2, 3}});
    ASSERT_TRUE(json.ok()) << json.status();
    EXPECT_THAT(*json, HasSubstr("1e-05"));
    const auto back = ModelConfig::FromHfJson(*json, "config.json");
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->architecture, architecture);
    EXPECT_EQ(back->head_dim, config.head_dim);
    EXPECT_EQ(back->rope_divisors, config.rope_divisors);
    EXPECT_EQ(back->tied_embeddings, config.tied_embeddings);
    EXPECT_EQ(back->sliding_window, config.sliding_window);
    EXPECT_EQ(back->qkv_bias, config.qkv_bias);
    EXPECT_EQ(back->qk_norm, config.qk_norm);
  }
  ModelConfig odd = SmallModel();
  odd.rope_divisors = {1, 2, 1, 7, 1, 1, 1, 3};
  EXPECT_TRUE(HasReason(HfConfigJson(odd, {}).status(), "MODEL_UNSUPPORTED"));
}

class GgufAdapterTest : public ::testing::Test {
 protected:
  // q_proj and down_proj of the first layer, with ranks and scales of their own.
  void SetUp() override {
    LoraConfig config{.rank = 2, .alpha = 8, .target_modules = {"down_proj", "q_proj"}};
    config.rank_pattern = {{"down_proj", 3}};
    config.alpha_pattern = {{"down_proj", 6}};
    for (int i = 0; i < 4 * 96; ++i) numbers_.push_back(static_cast<float>(i % 50) - 25);
    const auto part = [&](int64_t size) {
      return std::span<const float>(numbers_).first(static_cast<size_t>(size));
    };
    const absl::Status status = WritePeftAdapter(
        folder_.path(), config,
        {{"model.layers.0.self_attn.q_proj", 2, 64, 64, part(2 * 64), part(64 * 2)},
         {"model.layers.0.mlp.down_proj", 3, 96, 64, part(3 * 96), part(64 * 3)}});
    ASSERT_TRUE(status.ok()) << status;
    adapter_ = ReadPeftAdapter(folder_.path()).value();
  }

  const std::filesystem::path& out() {
    out_ = folder_ / "adapter.gguf";
    return out_;
  }

  static std::vector<float> Read(const GgufFile& file, const std::string& name) {
    const GgufTensor* tensor = file.FindTensor(name);
    EXPECT_NE(tensor, nullptr) << name;
    if (tensor == nullptr) return {};
    std::vector<float> values(tensor->values());
    EXPECT_TRUE(Dequantize(tensor->type, tensor->data, values).ok());
    return values;
  }

  crossover::testing::TempDir folder_;
  std::filesystem::path out_;
  std::vector<float> numbers_;
  PeftAdapter adapter_;
};

TEST_F(GgufAdapterTest, ScalesAndRowOrderAreTheLoaders) {
  const ModelConfig config = SmallModel();
  const absl::Status status =
      ExportGgufAdapter(config, adapter_, {.lineage = {{"crossover.base", "sha256:0"}}}, out());
  ASSERT_TRUE(status.ok()) << status;
  const auto file = GgufFile::Open(out()).value();
  EXPECT_EQ(file->GetString("general.type").value(), "adapter");
  EXPECT_EQ(file->GetString("adapter.type").value(), "lora");
  EXPECT_EQ(file->GetString("general.architecture").value(), "llama");
  EXPECT_EQ(file->GetString("crossover.base").value(), "sha256:0");
  EXPECT_EQ(file->tensors().size(), 4u);
  const double alpha = file->GetFloat("adapter.lora.alpha").value();
  for (const LoraModule& module : adapter_.modules) {
    const bool query = module.module.ends_with("q_proj");
    const std::string name = query ? "blk.0.attn_q.weight" : "blk.0.ffn_down.weight";
    const std::vector<float> a = Read(*file, name + ".lora_a");
    const std::vector<float> b = Read(*file, name + ".lora_b");
    const int64_t rank = module.rank();
    EXPECT_EQ(file->FindTensor(name + ".lora_a")->shape, (std::vector<int64_t>{rank, module.in()}));
    EXPECT_EQ(a, std::vector<float>(numbers_.begin(), numbers_.begin() + rank * module.in()));
    const double scale = alpha / static_cast<double>(rank);  // What llama.cpp multiplies with.
    for (int64_t row = 0; row < module.out(); ++row) {
      const int64_t from = query ? HfRowOfGgufRow(row, config.head_dim) : row;
      for (int64_t r = 0; r < rank; ++r) {
        EXPECT_NEAR(scale * b[row * rank + r], module.scale * numbers_[from * rank + r], 1e-4);
      }
    }
  }
}

TEST_F(GgufAdapterTest, AnotherBaseIsRefusedByModule) {
  ModelConfig other = SmallModel();
  other.intermediate_size = 128;
  const absl::Status status = ExportGgufAdapter(other, adapter_, {}, out());
  EXPECT_TRUE(HasReason(status, "ADAPTER_MISMATCH")) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.layers.0.mlp.down_proj"));
  EXPECT_FALSE(std::filesystem::exists(out()));
}

}  // namespace
}  // namespace crossover::llm
