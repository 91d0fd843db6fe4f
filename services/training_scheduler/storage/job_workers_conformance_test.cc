// What every JobStore knows of workers and of what they use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_P(JobStoreConformance, WorkersAreListedWithTheJobTheyHold) {
  WorkerRecord worker;
  worker.name = "b";
  worker.incarnation = "life-1";
  worker.capabilities.kinds = {JobKind::kSft, JobKind::kExport};
  worker.capabilities.threads = 2;
  worker.capabilities.base_digests = {"sha256:x", "sha256:y"};
  worker.capabilities.compute_types = {ComputeType::kBfloat16, ComputeType::kFloat32};
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kSame);
  worker.incarnation = "life-2";
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kNew);
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kSame);
  worker.incarnation = "life-1";
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kReplaced);
  worker.incarnation = "life-2";
  worker.name = "a";
  ASSERT_OK(store().SawWorker(worker));
  const Job job = Add();
  ASSERT_OK(store().Claim(Claimant("b")));
  ASSERT_OK_AND_ASSIGN(std::vector<WorkerRecord> workers, store().Workers("", 10));
  ASSERT_THAT(workers, SizeIs(2));
  EXPECT_EQ(workers[0].name, "a");
  EXPECT_EQ(workers[0].job, "");
  EXPECT_EQ(workers[1].incarnation, "life-2");
  EXPECT_EQ(workers[1].job, job.id);
  EXPECT_EQ(workers[1].capabilities.kinds, worker.capabilities.kinds);
  EXPECT_EQ(workers[1].capabilities.base_digests, worker.capabilities.base_digests);
  EXPECT_EQ(workers[1].capabilities.compute_types, worker.capabilities.compute_types);
  EXPECT_FALSE(workers[1].silent);
  EXPECT_THAT(*store().Workers("a", 10), SizeIs(1));
}

TEST_P(JobStoreConformance, AWorkerThatHasLeftIsListedAgainOnceItAsks) {
  WorkerRecord worker;
  worker.name = "w";
  for (const char* life : {"life-1", "life-2"}) {
    worker.incarnation = life;
    ASSERT_OK(store().SawWorker(worker));
  }
  ASSERT_OK(store().WorkerLeft("w", "life-1", ""));
  ASSERT_OK(store().WorkerLeft("x", "life-2", ""));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1)) << "neither is its present life";
  ASSERT_OK(store().WorkerLeft("w", "life-2", ""));
  EXPECT_THAT(*store().Workers("", 10), IsEmpty());
  worker.incarnation = "life-1";
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kReplaced) << "that is not forgotten";
  worker.incarnation = "life-3";
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kNew);
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
}

TEST_P(JobStoreConformance, AWorkerOfOneProjectIsLeftByThatProjectAlone) {
  WorkerRecord worker;
  worker.name = "w";
  worker.incarnation = "life-1";
  worker.only_project = "a";
  ASSERT_OK(store().SawWorker(worker));
  ASSERT_OK(store().WorkerLeft("w", "life-1", "b"));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
  worker.only_project = "b";  // who asks under its name and life does not make it theirs
  ASSERT_OK(store().SawWorker(worker));
  EXPECT_EQ(store().Workers("", 10)->front().only_project, "a");
  ASSERT_OK(store().WorkerLeft("w", "life-1", "b"));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
  ASSERT_OK(store().WorkerLeft("w", "life-1", "a"));
  EXPECT_THAT(*store().Workers("", 10), IsEmpty());
  worker.incarnation = "life-2";
  worker.only_project = "";  // of all projects: no project's alone
  ASSERT_OK(store().SawWorker(worker));
  ASSERT_OK(store().WorkerLeft("w", "life-2", "a"));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
  ASSERT_OK(store().WorkerLeft("w", "life-2", ""));
  EXPECT_THAT(*store().Workers("", 10), IsEmpty());
}

WorkerUsage Using(double busy_ratio) {
  return {.devices = {{.kind = "cpu",
                       .memory_bytes = 3'000'000'000,
                       .memory_limit_bytes = 8'000'000'000,
                       .busy_ratio = busy_ratio}},
          .tokens_per_second = 250.5};
}

// As if heard at no time.
WorkerUsage Timeless(WorkerUsage usage) {
  usage.time = absl::Time();
  return usage;
}

TEST_P(JobStoreConformance, WhatAWorkerUsesIsAsItsBeatSaidAndWithoutAJobAsItSaidWhenItAsked) {
  WorkerRecord worker;
  worker.name = "w";
  worker.incarnation = "life-1";
  const auto read = [&] { return store().Workers("", 10)->at(0).usage; };
  ASSERT_OK(store().SawWorker(worker));
  EXPECT_FALSE(read().has_value());
  worker.usage = Using(0.25);
  ASSERT_OK(store().SawWorker(worker));
  ASSERT_TRUE(read().has_value());
  EXPECT_EQ(Timeless(*read()), Using(0.25));
  EXPECT_LE(absl::AbsDuration(read()->time - SystemClock().Now()), absl::Minutes(5));

  Add();
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(Claimant("w")));
  EXPECT_EQ(Timeless(*read()), Using(0.25));  // its first beat has not come
  const absl::Time heard = claimed[0].lease->grant_time + absl::Seconds(7);
  ASSERT_OK(store().Update(claimed[0].id, [&](Job& job, absl::Time, Effects& effects) {
    effects.notable = false;
    job.lease->usage = Using(0.75);
    job.lease->usage->time = heard;
    return absl::OkStatus();
  }));
  EXPECT_EQ(Timeless(*read()), Using(0.75));
  EXPECT_EQ(read()->time, heard);
  EXPECT_EQ(Timeless(*store().Get(claimed[0].id)->lease->usage), Using(0.75));
  ASSERT_OK(store().Update(claimed[0].id, [&](Job& job, absl::Time now, Effects& effects) {
    return Crash(job, "w", "", "", RetryPolicy{}, now, effects);
  }));
  EXPECT_EQ(Timeless(*read()), Using(0.25));
}

TEST_P(JobStoreConformance, EachOfAGangSaysForItselfWhatItUses) {
  Job draft = Draft();
  draft.requirements.gang_size = 2;
  Add(draft);
  ClaimRequest request = Claimant("a");
  request.claimants.push_back({"b", "life-1", random_.Hex(16)});
  request.claimants[0].rendezvous = "a:7000";
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().ClaimGang(request));
  for (const char* name : {"a", "b"}) {
    WorkerRecord worker;
    worker.name = name;
    worker.incarnation = "life-1";
    ASSERT_OK(store().SawWorker(worker));
  }
  ASSERT_OK(store().Update(claimed.at(0).id, [&](Job& job, absl::Time, Effects&) {
    job.lease->gang[0].usage = Using(0.5);
    job.lease->gang[1].usage = Using(1);
    return absl::OkStatus();
  }));
  ASSERT_OK_AND_ASSIGN(std::vector<WorkerRecord> workers, store().Workers("", 10));
  EXPECT_EQ(workers.at(0).usage->devices, Using(0.5).devices);
  EXPECT_EQ(workers.at(1).usage->devices, Using(1).devices);
}

}  // namespace
}  // namespace crossover::scheduler
