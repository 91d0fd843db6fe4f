// What every JobStore keeps of what jobs report and make: metrics, checkpoints, models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_P(JobStoreConformance, MetricsAreOnePointAStepAndALaterEpochReplaces) {
  const Job job = Add();
  const auto report = [&](int64_t step, int64_t epoch, double loss) {
    ASSERT_OK(store().Update(job.id, [&](Job&, absl::Time now, Effects& effects) {
      MetricPoint point;
      point.step = step;
      point.time = now;
      point.epoch = epoch;
      point.values = {{"train_loss", loss}};
      effects.metrics.push_back(point);
      return absl::OkStatus();
    }));
  };
  for (int64_t step = 1; step <= 6; ++step) report(step, 1, 9);
  report(5, 2, 3);
  report(6, 1, 7);
  report(5, 1, 8);  // the fenced worker's late word would not get here; the store refuses it anyway
  ASSERT_OK_AND_ASSIGN(std::vector<MetricPoint> points, store().Metrics(job.id, 0, 1, 100));
  ASSERT_THAT(points, SizeIs(6));
  EXPECT_EQ(points[4].values.at("train_loss"), 3);
  EXPECT_EQ(points[4].epoch, 2);
  EXPECT_EQ(points[5].values.at("train_loss"), 7);
  ASSERT_OK_AND_ASSIGN(std::vector<MetricPoint> thin, store().Metrics(job.id, 0, 2, 100));
  ASSERT_THAT(thin, SizeIs(3));
  EXPECT_EQ(thin[1].step, 3);
  ASSERT_OK_AND_ASSIGN(std::vector<MetricPoint> rest, store().Metrics(job.id, 3, 2, 1));
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].step, 5);
}

TEST_P(JobStoreConformance, AClaimForgetsMetricsAboveTheResumePoint) {
  const Job job = Add();
  ASSERT_OK(store().Update(job.id, [](Job& mine, absl::Time now, Effects& effects) {
    mine.last_checkpoint_step = 4;
    for (int64_t step = 1; step <= 6; ++step) {
      MetricPoint point;
      point.step = step;
      point.time = now;
      effects.metrics.push_back(point);
    }
    return absl::OkStatus();
  }));
  ASSERT_OK(store().Claim(Claimant("w")));
  ASSERT_OK_AND_ASSIGN(std::vector<MetricPoint> points, store().Metrics(job.id, 0, 1, 100));
  ASSERT_THAT(points, SizeIs(4));
  EXPECT_EQ(points.back().step, 4);
}

TEST_P(JobStoreConformance, CheckpointsAreReplacedByALaterEpochAndPrunedToThoseThatAreKept) {
  const Job job = Add();
  const auto record = [&](int64_t step, int64_t epoch, const std::string& digest) {
    ASSERT_OK(store().Update(job.id, [&](Job&, absl::Time now, Effects& effects) {
      Checkpoint checkpoint;
      checkpoint.step = step;
      checkpoint.epoch = epoch;
      checkpoint.digest = digest;
      checkpoint.adapter_digest = "sha256:same";
      checkpoint.create_time = now;
      checkpoint.metrics = {{"valid_loss", static_cast<double>(step)}};
      effects.checkpoints.push_back(checkpoint);
      return absl::OkStatus();
    }));
  };
  for (const int64_t step : {10, 20, 30, 40, 50}) {
    record(step, 1, "sha256:" + std::to_string(step));
  }
  ASSERT_OK(store().PinCheckpoint(job.id, 20, true));
  record(20, 2, "sha256:new");
  EXPECT_THAT(*store().PruneCheckpoints(job.id), ElementsAre("sha256:30"));
  EXPECT_THAT(*store().PruneCheckpoints(job.id), IsEmpty());
  ASSERT_OK_AND_ASSIGN(std::vector<Checkpoint> kept, store().Checkpoints(job.id));
  ASSERT_THAT(kept, SizeIs(4));  // 10 is the best; 20 of epoch 2, 50 and 40 are the last
  EXPECT_EQ(kept[0].step, 10);
  EXPECT_EQ(kept[1].digest, "sha256:new");
  EXPECT_TRUE(kept[1].pinned);
  EXPECT_EQ(kept[2].step, 40);
  EXPECT_THAT(store().PruneCheckpoints(ids_.NextId()), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(JobStoreConformance, CheckpointsArePinnedAndListedByStep) {
  const Job job = Add();
  ASSERT_OK(store().Update(job.id, [&](Job&, absl::Time now, Effects& effects) {
    for (const int64_t step : {20, 10}) {
      Checkpoint checkpoint;
      checkpoint.step = step;
      checkpoint.digest = "sha256:" + std::to_string(step);
      checkpoint.create_time = now;
      checkpoint.metrics = {{"valid_loss", 0.5}};
      effects.checkpoints.push_back(checkpoint);
    }
    return absl::OkStatus();
  }));
  ASSERT_OK_AND_ASSIGN(Checkpoint pinned, store().PinCheckpoint(job.id, 10, true));
  EXPECT_TRUE(pinned.pinned);
  EXPECT_THAT(store().PinCheckpoint(job.id, 11, true), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(std::vector<Checkpoint> checkpoints, store().Checkpoints(job.id));
  ASSERT_THAT(checkpoints, SizeIs(2));
  EXPECT_EQ(checkpoints[0].step, 10);
  EXPECT_TRUE(checkpoints[0].pinned);
  EXPECT_EQ(checkpoints[1].metrics.at("valid_loss"), 0.5);
  EXPECT_TRUE(*store().RefersTo("default", "sha256:20"));
  EXPECT_FALSE(*store().RefersTo("default", "sha256:30"));
  EXPECT_FALSE(*store().RefersTo("other", "sha256:20"));
}

TEST_P(JobStoreConformance, TheWholeLifeOfAJobEndsInARegisteredModel) {
  const Job added = Add();
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(Claimant("w")));
  ASSERT_OK_AND_ASSIGN(Job done,
                       store().Update(added.id, [](Job& job, absl::Time now, Effects& effects) {
                         job.lease->token_hash = "unused";
                         Outcome outcome;
                         outcome.outputs.adapter_digest = "sha256:adapter";
                         outcome.actual.seconds = 10;
                         outcome.actual.tokens = 8000;
                         job.outputs = outcome.outputs;
                         job.actual = outcome.actual;
                         job.progress.step = job.resolved.steps / 2;
                         job.last_checkpoint_epoch = 1;
                         job.outputs.bytes = 77;
                         job.outputs.model_alias = "ft:new";
                         job.state = JobState::kSucceeded;
                         job.lease.reset();
                         job.finish_time = now;
                         ModelVersion version;
                         version.project = job.project;
                         version.model = "smollm2-ft";
                         version.kind = ModelKind::kAdapter;
                         version.digest = "sha256:adapter";
                         version.base_digest = "sha256:base";
                         version.source_job = job.id;
                         version.alias = "ft:new";
                         effects.models.push_back(version);
                         return absl::OkStatus();
                       }));
  ASSERT_OK_AND_ASSIGN(Job stored, store().Get(added.id));
  EXPECT_EQ(stored.last_checkpoint_epoch, 1);
  EXPECT_EQ(stored.outputs.bytes, 77);
  EXPECT_EQ(stored.outputs.model_alias, "ft:new");
  EXPECT_TRUE(done.finish_time.has_value());
  EXPECT_EQ(stores_->models().GetVersion("default", "-", "sha256:adapter")->source_job, added.id);
  EXPECT_TRUE(*store().RefersTo("default", "sha256:adapter"));
  ASSERT_OK_AND_ASSIGN(MeasuredRate rate, store().Rate("sha256:base"));
  EXPECT_EQ(rate.jobs, 1);
  EXPECT_EQ(rate.tokens_per_second, 800);
  EXPECT_EQ(rate.tokens_per_row, 10);
  EXPECT_DOUBLE_EQ(rate.work_per_second, 2e11);  // half of the steps ran
  EXPECT_DOUBLE_EQ(rate.work_per_second_lower, 2e11);
  EXPECT_DOUBLE_EQ(rate.work_per_second_upper, 2e11);
  EXPECT_EQ(store().Rate("sha256:other")->jobs, 0);
}

TEST_P(JobStoreConformance, JobsThatMakeEqualBytesAtOnceShareOneVersionAndItsAlias) {
  std::vector<JobId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(Add().id);
  std::vector<std::thread> threads;
  for (const JobId& id : ids) {
    threads.emplace_back([&, id] {
      EXPECT_OK(store().Update(id, [&](Job& job, absl::Time, Effects& effects) {
        ModelVersion version;
        version.project = job.project;
        version.model = "smollm2-ft";
        version.kind = ModelKind::kAdapter;
        version.digest = "sha256:adapter";
        version.base_digest = "sha256:base";
        version.alias = "ft:" + id;
        job.outputs.model_alias = version.alias;
        effects.models.push_back(version);
        return absl::OkStatus();
      }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const JobId& id : ids) {
    const std::string alias = store().Get(id)->outputs.model_alias;
    EXPECT_OK(stores_->models().GetVersion("default", "-", alias)) << alias;
  }
}

}  // namespace
}  // namespace crossover::scheduler
