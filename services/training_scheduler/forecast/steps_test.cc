// The steps that a job is promised are those that the trainer runs.
#include <gtest/gtest.h>

#include "llm/train/schedule.h"
#include "services/training_scheduler/domain/job_spec.h"

namespace crossover::scheduler {
namespace {

int64_t PromisedSteps(double epochs, int64_t rows) {
  TrainingSpec spec;
  spec.epochs = epochs;
  spec.batch_size = 8;
  return Resolve(spec, {}, {.train_rows = rows, .validation_rows = 10}).steps;
}

TEST(StepsTest, FractionsOfAStepAreWholeSteps) {
  EXPECT_EQ(PromisedSteps(1.24, 80), 13);
  EXPECT_EQ(PromisedSteps(1.2, 80), 12);
  EXPECT_EQ(PromisedSteps(0.001, 80), 1);
}

TEST(StepsTest, TheTrainerRunsAsMany) {
  for (const int64_t rows : {10, 79, 80, 81, 1000}) {
    for (const double epochs : {0.01, 0.1, 0.5, 1.0, 1.24, 1.26, 2.0, 2.7, 3.3, 49.99}) {
      const llm::TrainConfig config{.epochs = epochs, .batch_rows = 8};
      EXPECT_EQ(PromisedSteps(epochs, rows), llm::RowOrder(config, rows).steps())
          << epochs << " epochs of " << rows << " rows";
    }
  }
}

}  // namespace
}  // namespace crossover::scheduler
