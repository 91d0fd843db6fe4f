#include "common/metrics/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RegistryTest, ExposesWhatWasCountedWithItsLabels) {
  Registry registry("scheduler", "1.2.3");
  registry
      .NewCounter("crossover_scheduler_leases_lost_total", "Leases lost.", {{"cause", "expired"}})
      .Increment(2);
  registry.NewGauge("crossover_scheduler_jobs", "Jobs.", {{"state", "QUEUED"}}).Set(7);
  registry.NewHistogram("crossover_scheduler_job_wait_seconds", "Wait.", {0.5, 1}).Observe(0.7);
  const std::string text = registry.Expose();
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_leases_lost_total{cause=\"expired\"} 2"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_jobs{state=\"QUEUED\"} 7"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_job_wait_seconds_bucket{le=\"0.5\"} 0"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_job_wait_seconds_bucket{le=\"1\"} 1"));
  EXPECT_THAT(text, HasSubstr("crossover_build_info{service=\"scheduler\",version=\"1.2.3\"} 1"));
}

TEST(RegistryTest, TheSameNameAndLabelsAreTheSameInstrument) {
  Registry registry("s");
  registry.NewCounter("crossover_x_total", "X.").Increment();
  Counter again = registry.NewCounter("crossover_x_total", "X.");
  again.Increment();
  EXPECT_EQ(again.Value(), 2);
}

TEST(RegistryTest, RemovedGaugeIsNoLongerExposed) {
  Registry registry("s");
  const GaugeFamily family = registry.NewGaugeFamily("crossover_experiment_state", "State.");
  family.With({{"experiment", "old"}}).Set(1);
  family.Remove({{"experiment", "old"}});
  family.Remove({{"experiment", "never-was"}});
  EXPECT_THAT(registry.Expose(), Not(HasSubstr("old")));
}

}  // namespace
}  // namespace crossover::metrics
