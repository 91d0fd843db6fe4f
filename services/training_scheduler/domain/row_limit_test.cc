// Rows are as long as the base can take, not only as max_length says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/planner.h"

namespace crossover::scheduler {
namespace {

TEST(RowLimitTest, ARowBeyondWhatTheForecastSaysFitsIsRefused) {
  FakeClock clock;
  FakeModelStore models(clock);
  FakeJobStore jobs(clock, models);
  FakeDatasetCatalog datasets;
  FakeForecaster forecaster;
  Planner planner(jobs, models, datasets, clock, &forecaster);
  ModelVersion base;
  base.project = "default";
  base.model = "windowed";
  base.digest = "sha256:base";
  base.context_length = 131'072;
  ASSERT_OK(models.Register(base));
  Job job;
  job.project = "default";
  job.base_model = "windowed";
  job.dataset_version = "projects/default/datasets/clauses/versions/sha256:1";
  datasets.datasets[job.dataset_version] = {.train_rows = 2000, .validation_rows = 250};
  forecaster.answer = TrainingForecast{.longest_row = 4097, .row_limit = 4096};
  ASSERT_OK_AND_ASSIGN(const Plan plan, planner.Check(job));
  EXPECT_EQ(plan.reason, "ROW_TOO_LONG");
  EXPECT_THAT(std::string(ViolationsError(plan).message()),
              ::testing::HasSubstr("4097 tokens; at most 4096 fit"));
  forecaster.answer->longest_row = 4096;
  ASSERT_OK_AND_ASSIGN(const Plan fits, planner.Check(job));
  EXPECT_OK(ViolationsError(fits));
}

}  // namespace
}  // namespace crossover::scheduler
