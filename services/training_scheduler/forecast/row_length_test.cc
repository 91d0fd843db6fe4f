#include "services/training_scheduler/forecast/row_length.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "common/blob/directory_blob_store.h"
#include "common/dataset/digest.h"
#include "common/dataset/shard.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "llm/tokenizer/testing_folder.h"
#include "services/training_scheduler/forecast/llm_forecaster.h"

namespace crossover::scheduler {
namespace {

dataset::Row Says(const std::string& answer) {
  dataset::Row row;
  row.messages = {{.role = "user", .content = "Say it."}, {.role = "assistant", .content = answer}};
  row.split = "train";
  return row;
}

TEST(MostTokensTest, EveryPartOfARowCounts) {
  const int64_t plain = MostTokens(Says("a"));
  EXPECT_EQ(MostTokens(Says(std::string(1000, 'a'))), plain + 999);
  dataset::Row row = Says("a");
  row.tools = std::string(100, 't');
  EXPECT_GE(MostTokens(row), plain + 100);
  row = Says("a");
  row.rejected = {{.role = "assistant", .content = std::string(200, 'r')}};
  EXPECT_GE(MostTokens(row), plain + 200);
  row = Says("a");
  row.messages[1].tool_calls = {{.name = "f", .arguments = std::string(300, 'x')}};
  EXPECT_GE(MostTokens(row), plain + 300);
}

class RowLengthTest : public ::testing::Test {
 protected:
  RowLengthTest() {
    llm::ModelConfig model = llm::SmallFolderModel();
    model.context_length = 4096;
    EXPECT_OK(llm::WriteSmallFolder(folder_ / "base", model));
    inputs_.base_digest = *blobs_->PutFolder("model", folder_ / "base");
  }

  // More rows than are sampled, and after them in the order of digests one with `bytes` bytes: the
  // small model's tokenizer makes a token of each.
  void SealWithLast(size_t bytes) {
    std::map<std::string, dataset::Row> rows;
    for (int i = 0; i < 3000; ++i) {
      const dataset::Row row = Says(absl::StrCat(i));
      rows[*dataset::RowDigest(row)] = row;
    }
    for (int i = 0;; ++i) {
      const dataset::Row row = Says(absl::StrCat(i, std::string(bytes, 'x')));
      const std::string digest = *dataset::RowDigest(row);
      if (digest < rows.rbegin()->first) continue;
      rows[digest] = row;
      break;
    }
    const std::filesystem::path folder = folder_ / absl::StrCat("rows-", bytes);
    auto writer = *dataset::ShardWriter::Create(folder);
    for (const auto& [digest, row] : rows) EXPECT_OK(writer->Add(row, digest));
    EXPECT_OK(writer->Finish());
    inputs_.dataset_digest = *blobs_->PutFolder("dataset", folder);
  }

  absl::StatusOr<TrainingForecast> Forecast(int64_t max_length) {
    TrainingSpec spec;
    spec.max_length = max_length;
    return forecaster_.Forecast(inputs_,
                                Resolve(spec, {.architecture = "llama"}, {.train_rows = 3001}), {});
  }

  crossover::testing::TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<BlobStore> blobs_ =
      *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, clock_);
  Inputs inputs_;
  LlmForecaster forecaster_{*blobs_};
};

TEST_F(RowLengthTest, ARowAfterTheSampleThatIsTooLongIsSeen) {
  SealWithLast(1500);
  ASSERT_OK_AND_ASSIGN(const TrainingForecast strict, Forecast(1024));
  EXPECT_FALSE(strict.all_rows);
  EXPECT_EQ(strict.row_limit, 1024);
  EXPECT_GT(strict.longest_row, 1500);
  // Another length is another question.
  ASSERT_OK_AND_ASSIGN(const TrainingForecast fits, Forecast(4000));
  EXPECT_EQ(fits.row_limit, 4000);
  EXPECT_LE(fits.longest_row, 4000);
}

TEST_F(RowLengthTest, NoRowIsLongerThanTheBasesContext) {
  SealWithLast(5000);
  ASSERT_OK_AND_ASSIGN(const TrainingForecast forecast, Forecast(100'000));
  EXPECT_EQ(forecast.row_limit, 4096);
  EXPECT_GT(forecast.longest_row, 5000);
}

}  // namespace
}  // namespace crossover::scheduler
