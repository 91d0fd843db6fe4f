#include "services/trainer_worker/domain/usage_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"

namespace crossover::worker {
namespace {

using ::testing::HasSubstr;

struct UsageSamplerTest : ::testing::Test {
  DeviceUsage After(absl::Duration passed, absl::Duration computed) {
    clock.Advance(passed);
    process.processor_time += computed;
    return sampler.Sample();
  }

  FakeClock clock;
  metrics::Registry registry{"worker"};
  WorkerMetrics metrics{registry};
  StatusBoard board;
  ProcessUsage process{.processor_time = absl::Seconds(100), .memory_bytes = 3 << 20};
  UsageSampler sampler{clock, board, metrics, {.units = 2, .memory_limit_bytes = 8 << 20}, [this] {
                         return process;
                       }};
};

TEST_F(UsageSamplerTest, TheShareOfTheCoresIsOfTheTimeSinceTheLastSample) {
  EXPECT_EQ(After(absl::Seconds(10), absl::Seconds(10)).busy_ratio, 0.5);
  EXPECT_EQ(After(absl::Seconds(10), absl::Seconds(20)).busy_ratio, 1);
  EXPECT_EQ(After(absl::Seconds(50), absl::ZeroDuration()).busy_ratio, 0);
}

TEST_F(UsageSamplerTest, SamplesInQuickSuccessionShareTheirWindow) {
  EXPECT_EQ(After(absl::Seconds(1), absl::Seconds(1)).busy_ratio, 0.5);
  EXPECT_EQ(After(absl::Milliseconds(500), absl::Seconds(1)).busy_ratio, 0.5);
  EXPECT_EQ(After(absl::Milliseconds(500), absl::Seconds(1)).busy_ratio, 1);
}

TEST_F(UsageSamplerTest, AClockOfTheProcessorThatGoesBackIsNoTime) {
  EXPECT_EQ(After(absl::Seconds(10), -absl::Seconds(10)).busy_ratio, 0);
}

TEST_F(UsageSamplerTest, WhatIsSaidIsAlsoMeasured) {
  board.Change([](JobStatus& status) { status.tokens_per_second = 250; });
  const DeviceUsage usage = After(absl::Seconds(4), absl::Seconds(2));
  EXPECT_EQ(usage.kind, "cpu");
  EXPECT_EQ(usage.memory_bytes, 3 << 20);
  EXPECT_EQ(usage.memory_limit_bytes, 8 << 20);
  EXPECT_EQ(usage.tokens_per_second, 250);
  const std::string text = registry.Expose();
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_memory_bytes{kind=\"rss\"} 3145728\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_memory_bytes{kind=\"limit\"} 8388608\n"));
  EXPECT_THAT(text, HasSubstr("\ncrossover_worker_busy_ratio{device=\"cpu\"} 0.25\n"));
}

TEST(ProcessUsageTest, ThisProcessHasTakenMemoryAndTime) {
  const ProcessUsage before = ThisProcessUsage();
  EXPECT_GT(before.memory_bytes, 1 << 20);
  volatile uint64_t sum = 0;
  ProcessUsage now = before;
  while (now.processor_time == before.processor_time) {
    for (int i = 0; i < 1'000'000; ++i) sum = sum + 1;
    now = ThisProcessUsage();
  }
  EXPECT_GT(now.processor_time, before.processor_time);
}

TEST(ProcessUsageTest, TheControlGroupsLimitCountsWhereItIsLess) {
  const testing::TempDir folder;
  const auto limit = [&](const std::string& text) {
    std::ofstream(folder.path() / "memory.max") << text;
    return MemoryLimit(folder.path() / "memory.max");
  };
  const int64_t machine = MemoryLimit(folder.path() / "none");
  EXPECT_GT(machine, 1 << 20);
  EXPECT_EQ(limit("max\n"), machine);
  EXPECT_EQ(limit("1048576\n"), 1 << 20);
  EXPECT_EQ(limit("9223372036854771712\n"), machine);
}

}  // namespace
}  // namespace crossover::worker
