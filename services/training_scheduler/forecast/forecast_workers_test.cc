// What workers can do decides what a training takes of them.
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

class ForecastWorkersTest : public ::testing::Test {
 protected:
  ForecastWorkersTest() {
    llm::ModelConfig model = llm::SmallFolderModel();
    model.layers = 6;
    EXPECT_OK(llm::WriteSmallFolder(folder_ / "base", model));
    inputs_.base_digest = *blobs_->PutFolder("model", folder_ / "base");
    std::map<std::string, dataset::Row> rows;
    for (int i = 0; i < 40; ++i) {
      dataset::Row row;
      row.messages = {{.role = "user", .content = absl::StrCat(i)},
                      {.role = "assistant", .content = absl::StrCat(i + 1)}};
      row.split = "train";
      rows[*dataset::RowDigest(row)] = row;
    }
    auto writer = *dataset::ShardWriter::Create(folder_ / "rows");
    for (const auto& [digest, row] : rows) EXPECT_OK(writer->Add(row, digest));
    EXPECT_OK(writer->Finish());
    inputs_.dataset_digest = *blobs_->PutFolder("dataset", folder_ / "rows");
  }

  TrainingForecast Of(const TrainingSpec& spec, const ForecastWorkers& workers = {}) {
    const absl::StatusOr<TrainingForecast> forecast = forecaster_.Forecast(
        inputs_, Resolve(spec, {.architecture = "llama"}, {.train_rows = 40}), workers);
    EXPECT_OK(forecast);
    return forecast.value_or(TrainingForecast{});
  }

  crossover::testing::TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<BlobStore> blobs_ =
      *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, clock_);
  Inputs inputs_;
  LlmForecaster forecaster_{*blobs_};
};

TEST_F(ForecastWorkersTest, WhereNoneComputesInBfloat16NumbersTakeTwiceAsMuch) {
  const TrainingForecast wished = Of({}), computed = Of({}, {.float32_only = true});
  EXPECT_GT(computed.peak_memory_bytes, wished.peak_memory_bytes);
  EXPECT_EQ(Of({.compute_type = ComputeType::kFloat32}).peak_memory_bytes,
            computed.peak_memory_bytes);
}

TEST_F(ForecastWorkersTest, RecomputedActivationsTakeLessMemoryAndMoreWork) {
  TrainingSpec spec;
  const TrainingForecast kept = Of(spec);
  spec.techniques.activations = ActivationPolicy::kRecompute;
  const TrainingForecast again = Of(spec);
  EXPECT_LT(again.peak_memory_bytes, kept.peak_memory_bytes);
  EXPECT_GT(again.work, kept.work);
}

TEST_F(ForecastWorkersTest, DropoutAndDoraTakeMemory) {
  TrainingSpec spec;
  const int64_t plain = Of(spec).peak_memory_bytes;
  spec.techniques.dropout = 0.1;
  const int64_t dropping = Of(spec).peak_memory_bytes;
  EXPECT_GT(dropping, plain);
  spec.techniques.dora = true;
  EXPECT_GT(Of(spec).peak_memory_bytes, dropping);
}

}  // namespace
}  // namespace crossover::scheduler
