#include "services/training_scheduler/domain/scheduler_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

// Dashboards and alerts rest on these names.
TEST(SchedulerMetricsTest, NamesAndLabelsAreThoseOfTheInterface) {
  metrics::Registry registry("scheduler");
  SchedulerMetrics metrics(registry);
  Job job;
  job.ready_time = absl::FromUnixSeconds(100);
  job.run_time = absl::FromUnixSeconds(110);
  job.finish_time = absl::FromUnixSeconds(120);
  job.lease = LeaseRecord{};
  job.lease->grant_time = absl::FromUnixSeconds(110);
  metrics.Claimed(job, absl::Milliseconds(3));
  metrics.Ended(job);
  metrics.LeaseLost("expired");
  metrics.SetDepths({{JobState::kQueued, "default", 2, absl::Seconds(7)}});
  const std::string text = registry.Expose();
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_jobs{queue=\"default\",state=\"QUEUED\"} 2"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_job_wait_seconds_sum 10"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_job_run_seconds_sum{kind=\"SFT\"} 10"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_queue_oldest_seconds{queue=\"default\"} 7"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_leases_lost_total{cause=\"expired\"} 1"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_leases_lost_total{cause=\"crashed\"} 0"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_lease_claim_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("crossover_scheduler_background_failures_total 0"));
}

}  // namespace
}  // namespace crossover::scheduler
