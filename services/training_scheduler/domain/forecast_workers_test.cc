// Estimates are made for the workers that are known.
#include <gtest/gtest.h>

#include "services/training_scheduler/domain/able_workers.h"

namespace crossover::scheduler {
namespace {

WorkerRecord WorkerWith(int64_t memory, std::vector<ComputeType> types, int32_t gang = 1) {
  WorkerRecord worker;
  worker.name = "w";
  worker.capabilities.memory_bytes = memory;
  worker.capabilities.compute_types = std::move(types);
  worker.capabilities.gang = gang;
  return worker;
}

TEST(WorkersForTest, TheLargestIsForecastFor) {
  Job job;
  const ForecastWorkers none = WorkersFor(job, {});
  EXPECT_EQ(none.memory_bytes, 0);
  EXPECT_FALSE(none.float32_only);
  EXPECT_EQ(
      WorkersFor(job, {WorkerWith(100, {}), WorkerWith(300, {}), WorkerWith(200, {})}).memory_bytes,
      300);
  EXPECT_EQ(WorkersFor(job, {WorkerWith(100, {}), WorkerWith(0, {})}).memory_bytes, 0);  // any size
  WorkerRecord elsewhere = WorkerWith(500, {});
  elsewhere.only_project = "other";
  job.project = "default";
  EXPECT_EQ(WorkersFor(job, {WorkerWith(100, {}), elsewhere}).memory_bytes, 100);
}

TEST(WorkersForTest, OfAGangTheSmallestCounts) {
  Job job;
  job.requirements.gang_size = 2;
  const ForecastWorkers pair = WorkersFor(job, {WorkerWith(100, {}, 2), WorkerWith(300, {}, 2),
                                                WorkerWith(200, {}, 2), WorkerWith(900, {})});
  EXPECT_EQ(pair.count, 2);
  EXPECT_EQ(pair.memory_bytes, 200);
}

TEST(WorkersForTest, Float32IsWhatAllComputeIn) {
  const Job job;
  const WorkerRecord old = WorkerWith(0, {ComputeType::kFloat32});
  const WorkerRecord both = WorkerWith(0, {ComputeType::kBfloat16, ComputeType::kFloat32});
  EXPECT_TRUE(WorkersFor(job, {old, old}).float32_only);
  EXPECT_FALSE(WorkersFor(job, {old, both}).float32_only);
  EXPECT_FALSE(WorkersFor(job, {old, WorkerWith(0, {})}).float32_only);  // not known
  Job asks;
  asks.spec.training.compute_type = ComputeType::kFloat32;
  EXPECT_TRUE(WorkersFor(asks, {old, both}).float32_only);
}

}  // namespace
}  // namespace crossover::scheduler
