#include "services/trainer_worker/domain/worker_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::worker {
namespace {

using ::testing::HasSubstr;

// Dashboards and alerts rest on these names.
TEST(WorkerMetricsTest, NamesAndLabelsAreThoseOfTheInterface) {
  metrics::Registry registry("worker");
  WorkerMetrics metrics(registry);
  metrics.Stepped(
      {.loss = 1.5, .tokens = 100, .seconds = 0.25, .tokens_per_second = 400, .flops_ratio = 0.5},
      1024);
  metrics.Checkpointed(absl::Seconds(2));
  metrics.Using(/*memory_bytes=*/512, /*memory_limit_bytes=*/2048, /*busy_ratio=*/0.75);
  std::string text = registry.Expose();
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_tokens_total 100\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_tokens_per_second 400\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_train_loss{slot=\"0\"} 1.5\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_step_seconds_sum 0.25\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_memory_bytes{kind=\"peak_rss\"} 1024\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_checkpoint_seconds_sum 2\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_flops_ratio 0.5\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_busy_ratio{device=\"cpu\"} 0.75\n"));
  metrics.Ended("completed");
  text = registry.Expose();
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_jobs_total{outcome=\"completed\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_tokens_per_second 0\n"));
}

}  // namespace
}  // namespace crossover::worker
