#include "services/training_scheduler/domain/waiting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/watch_hub.h"

namespace crossover::scheduler {
namespace {

Job Waiting() {
  Job job;
  job.id = "00000000000000000000000001";
  job.project = "default";
  job.state = JobState::kQueued;
  job.state_reason = "validated";
  return job;
}

std::string ReasonAmong(const std::vector<WorkerRecord>& workers, Job job) {
  Explain(workers, {&job, 1});
  return job.state_reason;
}

WorkerRecord CpuWorker(const std::string& name) {
  WorkerRecord worker;
  worker.name = name;
  worker.incarnation = "life";
  worker.capabilities.device = "cpu";
  worker.capabilities.queues = {"default"};
  worker.capabilities.kinds = {JobKind::kSft};
  worker.capabilities.memory_bytes = int64_t{8} << 30;
  return worker;
}

TEST(WaitingTest, AJobThatAWorkerCouldTakeWaitsForItsTurnAlone) {
  EXPECT_EQ(ReasonAmong({CpuWorker("a")}, Waiting()), "validated");
  WorkerRecord busy = CpuWorker("a");
  busy.job = "00000000000000000000000002";
  EXPECT_EQ(ReasonAmong({busy}, Waiting()), "validated");
}

TEST(WaitingTest, WhatNoneOfTheKnownWorkersHasIsNamed) {
  const std::vector<WorkerRecord> workers = {CpuWorker("a"), CpuWorker("b")};
  Job job = Waiting();
  job.queue = "night";
  EXPECT_EQ(ReasonAmong(workers, job),
            "validated; none of the 2 known workers serves queue 'night'");
  job = Waiting();
  job.requirements.device = "cuda";
  job.needed_memory_bytes = int64_t{31} << 30;
  EXPECT_EQ(ReasonAmong(workers, job), "validated; none of the 2 known workers has device 'cuda'");
  job = Waiting();
  job.kind = JobKind::kSweep;
  job.queue = "night";
  EXPECT_EQ(ReasonAmong(workers, job),
            "validated; none of the 2 known workers serves queue 'night' or takes kind SWEEP");
  job = Waiting();
  job.requirements.gang_size = 2;
  job.queue = "night";
  EXPECT_EQ(ReasonAmong(workers, job),
            "validated; none of the 2 known workers serves queue 'night'");
  job.state = JobState::kRunning;
  EXPECT_EQ(ReasonAmong(workers, job), "validated");
}

TEST(WaitingTest, MemoryIsComparedWithAllWorkersOfTheRightDevice) {
  WorkerRecord gpu = CpuWorker("gpu");
  gpu.capabilities.device = "cuda";
  gpu.capabilities.queues = {"night"};
  gpu.capabilities.memory_bytes = int64_t{80} << 30;
  Job job = Waiting();
  job.needed_memory_bytes = int64_t{31} << 30;
  job.requirements.device = "cpu";
  EXPECT_EQ(ReasonAmong({CpuWorker("a"), gpu}, job),
            "validated; none of the 2 known workers has 31.0 GiB on 'cpu'");
  job.requirements.device = "";
  EXPECT_EQ(ReasonAmong({CpuWorker("a"), gpu}, job),
            "validated; none of the 2 known workers serves queue 'default' and takes kind SFT and "
            "has 31.0 GiB, all at once");
  job.queue = "night";
  EXPECT_EQ(ReasonAmong({CpuWorker("a"), gpu}, job), "validated");
}

TEST(WaitingTest, WorkersThatAreLostOrOfOtherProjectsAreNotCounted) {
  WorkerRecord lost = CpuWorker("lost");
  lost.silent = true;
  WorkerRecord theirs = CpuWorker("theirs");
  theirs.only_project = "other";
  EXPECT_EQ(ReasonAmong({lost, theirs}, Waiting()),
            "validated; no worker is known that may have it");
}

class LastReason final : public WatchSink {
 public:
  bool Send(const WatchItem& item) override {
    if (const Job* job = std::get_if<Job>(&item.content)) reason = job->state_reason;
    return true;
  }
  bool Gone() override { return false; }
  void End(absl::Status) override {}

  std::string reason;
};

TEST(WaitingTest, AWatcherHearsOfTheFirstWorkerThatCouldTakeTheJob) {
  FakeClock clock;
  FakeModelStore models(clock);
  FakeJobStore jobs(clock, models);
  WatchHub hub(jobs, clock);
  ASSERT_OK(
      jobs.Insert(Waiting(), {}, [](Job&, absl::Time, Effects&) { return absl::OkStatus(); }));
  WorkerRecord worker = CpuWorker("w");
  worker.capabilities.queues = {"night"};
  ASSERT_OK(jobs.SawWorker(worker));
  auto sink = std::make_shared<LastReason>();
  ASSERT_OK(hub.Watch(Waiting().id, "", sink));
  hub.Pump();
  EXPECT_EQ(sink->reason, "validated; none of the 1 known workers serves queue 'default'");
  ASSERT_OK(jobs.SawWorker(CpuWorker("day")));
  clock.Advance(absl::Seconds(1));
  hub.Pump();
  EXPECT_EQ(sink->reason, "validated");
}

}  // namespace
}  // namespace crossover::scheduler
