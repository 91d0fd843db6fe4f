#include "llm/lora/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>
#include <string>

#include "common/status/error.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/permute.h"
#include "llm/formats/testing_disk.h"
#include "llm/formats/testing_model.h"
#include "llm/lora/folder.h"
#include "llm/lora/merge.h"
#include "llm/model/testing.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;

class AdapterTest : public testing::Test {
 protected:
  AdapterTest()
      : folder_(fs::temp_directory_path() / ("crossover_adapter_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~AdapterTest() override { fs::remove_all(folder_); }

  static std::string Bytes(const fs::path& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
  }

  fs::path folder_;
  ModelConfig model_ = TinyConfig();
  LoraConfig config_{.rank = 4,
                     .alpha = 8,
                     .target_modules = {"down_proj", "q_proj", "v_proj"},
                     .base_model = "tiny"};
  LoraLayout layout_ = LoraLayout::Uniform(model_, {Target::kQ, Target::kV, Target::kDown}, 4, 2.0);
};

TEST_F(AdapterTest, LayoutFillsTheBufferWithoutGapOrOverlap) {
  const LoraLayout layout =
      LoraLayout::Uniform(model_, {kAllTargets.begin(), kAllTargets.end()}, 8, 2.0);
  std::vector<int> used(layout.size(), 0);
  for (const LoraMatrix& matrix : layout.matrices()) {
    for (int64_t i = 0; i < matrix.a_size(); ++i) ++used[matrix.a_offset + i];
    for (int64_t i = 0; i < matrix.b_size(); ++i) ++used[matrix.b_offset + i];
  }
  EXPECT_THAT(used, testing::Each(1));
  EXPECT_EQ(layout.RankSum(0, Group::kQkv), 24);
  EXPECT_EQ(layout.MatricesOf(1, Group::kGateUp)[1]->rank_offset, 8);
  EXPECT_EQ(layout.MatricesOf(1, Group::kGateUp)[1]->out_offset, model_.intermediate_size);
}

TEST_F(AdapterTest, InitialAIsUniformWithinItsBoundAndBIsZero) {
  const std::vector<float> values = InitialValues(layout_, 7);
  for (const LoraMatrix& matrix : layout_.matrices()) {
    const float bound = 1 / std::sqrt(static_cast<float>(matrix.in));
    double squares = 0;
    for (int64_t i = 0; i < matrix.a_size(); ++i) {
      ASSERT_LE(std::abs(values[matrix.a_offset + i]), bound);
      squares += values[matrix.a_offset + i] * values[matrix.a_offset + i];
    }
    EXPECT_NEAR(std::sqrt(squares / matrix.a_size()), bound / std::sqrt(3.0), 0.1 * bound);
    for (int64_t i = 0; i < matrix.b_size(); ++i) ASSERT_EQ(values[matrix.b_offset + i], 0.0f);
  }
  EXPECT_EQ(InitialValues(layout_, 7), values);
  EXPECT_NE(InitialValues(layout_, 8), values);
}

TEST_F(AdapterTest, WrittenFolderReadsBackAndHasEqualBytesEveryTime) {
  const std::vector<float> values = InitialValues(layout_, 7);
  ASSERT_TRUE(WriteAdapter(folder_ / "a", config_, layout_, values).ok());
  ASSERT_TRUE(WriteAdapter(folder_ / "b", config_, layout_, values).ok());
  const auto read = ReadAdapter(folder_ / "a", model_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->values, values);
  EXPECT_EQ(read->layout.matrices()[0].scale, 2.0);
  for (const char* name : {kAdapterConfigFile, kAdapterTensorsFile}) {
    EXPECT_EQ(Bytes(folder_ / "a" / name), Bytes(folder_ / "b" / name)) << name;
  }
}

TEST_F(AdapterTest, MagnitudesOfDoraAreWrittenAndReadAndMustFitTheConfig) {
  const LoraLayout layout(
      model_, {{.layer = 1, .target = Target::kQ, .rank = 4, .scale = 2.0, .dora = true}});
  std::vector<float> values = InitialValues(layout, 7);
  for (int64_t j = 0; j < layout.matrices()[0].out; ++j)
    values[layout.matrices()[0].m_offset + j] = 1 + static_cast<float>(j);
  LoraConfig config{.rank = 4, .alpha = 8, .target_modules = {"q_proj"}, .dora = true};
  ASSERT_TRUE(WriteAdapter(folder_ / "a", config, layout, values).ok());
  const auto read = ReadAdapter(folder_ / "a", model_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->config.dora);
  EXPECT_EQ(read->values, values);
  EXPECT_THAT(Bytes(folder_ / "a" / kAdapterTensorsFile),
              testing::HasSubstr("layers.1.self_attn.q_proj.lora_magnitude_vector\""));
  config.dora = false;
  std::ofstream(folder_ / "a" / kAdapterConfigFile) << LoraConfigJson(config);
  const absl::Status unexpected = ReadAdapter(folder_ / "a", model_).status();
  EXPECT_THAT(std::string(unexpected.message()), testing::HasSubstr("lora_magnitude_vector"));
  ASSERT_TRUE(WriteAdapter(folder_ / "b", config_, layout_, InitialValues(layout_, 7)).ok());
  LoraConfig missing = config_;
  missing.dora = true;
  std::ofstream(folder_ / "b" / kAdapterConfigFile) << LoraConfigJson(missing);
  EXPECT_THAT(std::string(ReadAdapter(folder_ / "b", model_).status().message()),
              testing::HasSubstr("has no lora_magnitude_vector"));
}

TEST_F(AdapterTest, AdapterOfAnotherModelIsRefusedByModuleName) {
  ASSERT_TRUE(WriteAdapter(folder_ / "a", config_, layout_, InitialValues(layout_, 7)).ok());
  ModelConfig narrow = model_;
  narrow.intermediate_size = 80;
  const absl::Status shape = ReadAdapter(folder_ / "a", narrow).status();
  EXPECT_TRUE(HasReason(shape, "ADAPTER_MISMATCH")) << shape;
  EXPECT_THAT(std::string(shape.message()), testing::HasSubstr("mlp.down_proj"));
  ModelConfig shallow = model_;
  shallow.layers = 2;
  const absl::Status depth = ReadAdapter(folder_ / "a", shallow).status();
  EXPECT_THAT(std::string(depth.message()), testing::HasSubstr("model.layers.2."));
}

TEST_F(AdapterTest, ExistingFolderIsNeverOverwritten) {
  const auto write = [](const fs::path&) { return absl::OkStatus(); };
  ASSERT_TRUE(WriteFolder(folder_ / "x/", 0, write).ok());
  EXPECT_TRUE(HasReason(WriteFolder(folder_ / "x", 0, write), "FOLDER_EXISTS"));
}

TEST_F(AdapterTest, FailedWriteLeavesNothingBehindAndDiskFullSaysHowMuchIsMissing) {
  const absl::Status status = WriteFolder(folder_ / "x", 12345, [](const fs::path& temporary) {
    std::ofstream(temporary / "half") << "data";
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL", "half: no space left");
  });
  EXPECT_TRUE(HasReason(status, "DISK_FULL"));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("needs 12345 bytes"));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(AdapterTest, FullDiskLeavesNothingBehindAndTheOtherAdapterWhole) {
  const std::vector<float> values = InitialValues(layout_, 7);
  ASSERT_TRUE(WriteAdapter(folder_ / "other", config_, layout_, values).ok());
  absl::Status status;
  {
    const FullDisk disk(4096);
    status = WriteAdapter(folder_ / "a", config_, layout_, values);
  }
  EXPECT_TRUE(HasReason(status, "DISK_FULL")) << status;
  const std::string needed = std::to_string(values.size() * sizeof(float));
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(testing::HasSubstr((folder_ / "a").string()),
                             testing::HasSubstr("needs " + needed + " bytes"),
                             testing::HasSubstr("free some space")));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
  EXPECT_TRUE(ReadAdapter(folder_ / "other", model_).ok());
}

class MergeTest : public AdapterTest {
 protected:
  // One weight of a GGUF file in Hugging Face's row order.
  std::vector<float> Read(const GgufFile& file, const WeightSpec& weight) {
    const GgufTensor& tensor = *file.Tensor(weight.gguf_name).value();
    std::vector<float> stored(tensor.values());
    EXPECT_TRUE(Dequantize(tensor.type, tensor.data, stored).ok());
    if (weight.permuted_heads == 0) return stored;
    std::vector<float> values(stored.size());
    EXPECT_TRUE(PermuteGgufToHf(std::as_bytes(std::span<const float>(stored)),
                                std::as_writable_bytes(std::span(values)), weight.permuted_heads,
                                small_.head_dim)
                    .ok());
    return values;
  }

  // values += scale * B A, from the definition; DoRA's rows then get their magnitudes.
  static void Add(const LoraMatrix& matrix, const std::vector<float>& adapter,
                  std::vector<float>& values) {
    for (int64_t o = 0; o < matrix.out; ++o) {
      for (int64_t i = 0; i < matrix.in; ++i) {
        double sum = 0;
        for (int64_t r = 0; r < matrix.rank; ++r) {
          sum += static_cast<double>(adapter[matrix.b_offset + o * matrix.rank + r]) *
                 adapter[matrix.a_offset + r * matrix.in + i];
        }
        float& value = values[o * matrix.in + i];
        value = static_cast<float>(value + matrix.scale * sum);
      }
      if (!matrix.scaled()) continue;
      double squares = 0;
      for (int64_t i = 0; i < matrix.in; ++i) squares += std::pow(values[o * matrix.in + i], 2);
      for (int64_t i = 0; i < matrix.in; ++i) {
        values[o * matrix.in + i] = static_cast<float>(
            values[o * matrix.in + i] * adapter[matrix.m_offset + o] / std::sqrt(squares));
      }
    }
  }

  // What one rounding to `type` may cost a value of `row`'s block: half a step.
  static double Tolerance(TensorType type, const std::vector<float>& values, size_t at) {
    switch (type) {
      case TensorType::kF16:
        return std::abs(values[at]) / 2048 + 1e-7;
      case TensorType::kQ8_0: {
        const size_t block = at / 32 * 32;
        double largest = 0;
        for (size_t i = block; i < block + 32; ++i)
          largest = std::max<double>(largest, std::abs(values[i]));
        // The step itself is stored in 16 bits: 127 times its rounding joins half a step.
        return largest / 254 + largest / 2048;
      }
      default:
        return 1e-6 * std::max<double>(1, std::abs(values[at]));
    }
  }

  ModelConfig small_ = SmallModel();
};

TEST_F(MergeTest, MergedFileHoldsBasePlusScaledProduct) {
  const fs::path base_path = folder_ / "base.gguf";
  ASSERT_TRUE(WriteSmallModel(base_path, small_).ok());
  // Both permuted kinds, one that is not, and untouched ones beside them.
  const LoraLayout layout(small_, {{.layer = 0, .target = Target::kQ, .rank = 2, .scale = 4.0},
                                   {.layer = 0, .target = Target::kK, .rank = 2, .scale = 4.0},
                                   {.layer = 1, .target = Target::kDown, .rank = 2, .scale = 4.0}});
  std::vector<float> adapter(layout.size());
  for (size_t i = 0; i < adapter.size(); ++i)
    adapter[i] = 0.02f * static_cast<float>(i % 13) - 0.1f;
  const LoraConfig config{
      .rank = 2, .alpha = 8, .target_modules = {"down_proj", "k_proj", "q_proj"}};
  ASSERT_TRUE(WriteAdapter(folder_ / "a", config, layout, adapter).ok());
  const auto base = GgufFile::Open(base_path).value();
  for (const GgufFileType type : {GgufFileType::kF32, GgufFileType::kF16, GgufFileType::kQ8_0}) {
    const fs::path out = folder_ / "merged.gguf";
    const absl::Status status = MergeToGguf(base_path, folder_ / "a", {.type = type}, out);
    ASSERT_TRUE(status.ok()) << status;
    const auto merged = GgufFile::Open(out).value();
    int adapted = 0;
    for (const WeightSpec& weight : WeightsOf(small_)) {
      std::vector<float> expected = Read(*base, weight);
      for (const LoraMatrix& matrix : layout.matrices()) {
        if (weight.hf_name != ModuleName(matrix) + ".weight") continue;
        ++adapted;
        Add(matrix, adapter, expected);
      }
      const TensorType stored = merged->Tensor(weight.gguf_name).value()->type;
      EXPECT_EQ(stored, StoredTypeOf(type, weight, small_)) << weight.hf_name;
      // Q8_0's blocks lie along rows, which stay whole when rows are permuted.
      const std::vector<float> values = Read(*merged, weight);
      ASSERT_EQ(values.size(), expected.size());
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_NEAR(values[i], expected[i], Tolerance(stored, expected, i))
            << NameOf(type) << " " << weight.hf_name << "[" << i << "]";
      }
    }
    EXPECT_EQ(adapted, 3);
  }
}

TEST_F(MergeTest, MergedRowsOfDoraHaveTheirMagnitudes) {
  const fs::path base_path = folder_ / "base.gguf";
  ASSERT_TRUE(WriteSmallModel(base_path, small_).ok());
  const LoraLayout layout(
      small_, {{.layer = 0, .target = Target::kK, .rank = 2, .scale = 4.0, .dora = true},
               {.layer = 1, .target = Target::kUp, .rank = 2, .scale = 4.0, .dora = true}});
  std::vector<float> adapter(layout.size());
  for (size_t i = 0; i < adapter.size(); ++i)
    adapter[i] = 0.02f * static_cast<float>(i % 13) + 0.1f;
  const LoraConfig config{
      .rank = 2, .alpha = 8, .target_modules = {"k_proj", "up_proj"}, .dora = true};
  ASSERT_TRUE(WriteAdapter(folder_ / "a", config, layout, adapter).ok());
  const fs::path out = folder_ / "merged.gguf";
  const absl::Status status =
      MergeToGguf(base_path, folder_ / "a", {.type = GgufFileType::kF32}, out);
  ASSERT_TRUE(status.ok()) << status;
  const auto base = GgufFile::Open(base_path).value(), merged = GgufFile::Open(out).value();
  for (const WeightSpec& weight : WeightsOf(small_)) {
    std::vector<float> expected = Read(*base, weight);
    for (const LoraMatrix& matrix : layout.matrices())
      if (weight.hf_name == ModuleName(matrix) + ".weight") Add(matrix, adapter, expected);
    const std::vector<float> values = Read(*merged, weight);
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], expected[i], 1e-5) << weight.hf_name << "[" << i << "]";
  }
}

TEST_F(MergeTest, FullDiskLeavesTheOldExportAndNoLitter) {
  const fs::path base_path = folder_ / "base.gguf", out = folder_ / "merged.gguf";
  ASSERT_TRUE(WriteSmallModel(base_path, small_).ok());
  const LoraLayout layout(small_, {{.layer = 0, .target = Target::kQ, .rank = 2, .scale = 4.0}});
  ASSERT_TRUE(WriteAdapter(folder_ / "a", {.rank = 2, .alpha = 8, .target_modules = {"q_proj"}},
                           layout, std::vector<float>(layout.size(), 0.5f))
                  .ok());
  ASSERT_TRUE(MergeToGguf(base_path, folder_ / "a", {.type = GgufFileType::kF16}, out).ok());
  const std::string before = Bytes(out);
  absl::Status status;
  {
    const FullDisk disk(64 << 10);
    status = MergeToGguf(base_path, folder_ / "a", {.type = GgufFileType::kF32}, out);
  }
  EXPECT_TRUE(HasReason(status, "DISK_FULL")) << status;
  EXPECT_EQ(Bytes(out), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 3);
}

}  // namespace
}  // namespace crossover::llm
