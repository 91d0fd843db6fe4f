// Workers that are killed with -9 while they run a job, with the real scheduler on a real Postgres
// and the real worker program (its engine counts instead of training). The job finishes once; no
// event, metric or checkpoint is lost or doubled.
#include <nlohmann/json.hpp>
#include <random>

#include "tests/chaos/crash_fixture.h"

namespace crossover::chaos {
namespace {

constexpr int kSteps = 80;

class WorkerCrashTest : public CrashTest {
 protected:
  ~WorkerCrashTest() override { Kill(pid_); }

  void StartWorker() {
    ++life_;
    pid_ = LaunchWorker("w", engine_, {absl::StrCat("--incarnation=life-", life_)});
    ASSERT_NE(pid_, 0);
  }

  // What the platform does when it reaps its child.
  void ReportCrash() {
    pb::ReleaseLeaseRequest request;
    request.set_worker("workers/w");
    request.set_incarnation(absl::StrCat("life-", life_));
    request.set_reason(pb::ReleaseLeaseRequest::CRASHED);
    ASSERT_OK(rpc::Invoke(*leases_, &pb::LeaseService::Stub::ReleaseLease, request));
  }

  // Three trials of 20 steps.
  pb::Job CreateSweep() {
    pb::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(pb::Job::SWEEP);
    request.mutable_job()->set_base_model("base");
    request.mutable_job()->set_dataset_version(kData);
    pb::SweepSpec* sweep = request.mutable_job()->mutable_spec()->mutable_sweep();
    sweep->set_median_stop(false);
    sweep->mutable_base()->set_checkpoint_every(2);
    sweep->mutable_base()->set_eval_every(5);
    sweep->mutable_base()->set_max_steps(20);
    pb::SweepSpec::Axis* axis = sweep->add_axes();
    axis->set_field("learning_rate");
    for (const char* rate : {"1e-4", "2e-4", "3e-4"}) axis->add_values(rate);
    return Create(request);
  }

  void KillTimes(int kills) {
    std::mt19937 dice(7);
    const pb::Job created = Create(Training(kSteps));
    for (int i = 0; i < kills; ++i) {
      const pb::Job before = Get(created.name());
      StartWorker();
      ASSERT_TRUE(WaitFor(created.name(), [&](const pb::Job& job) {
        return job.lease_epoch() > before.lease_epoch();
      }));
      // Every third dies wherever it is, perhaps before its first step; the others have got on, or
      // five losses in a row would rightly end the job.
      if (i % 3 != 2) {
        ASSERT_TRUE(WaitFor(created.name(), [&](const pb::Job& job) {
          return Checkpoint(job) > Checkpoint(before);
        }));
      }
      SystemClock().SleepFor(absl::Milliseconds(dice() % 150));
      history_->Note();
      ASSERT_EQ(Get(created.name()).state(), pb::Job::RUNNING);
      Kill(pid_);
      ++TheTally().worker_kills;
      if (i % 2 == 0) {
        ReportCrash();
      } else {
        ASSERT_TRUE(WaitFor(created.name(),
                            [](const pb::Job& job) { return job.state() == pb::Job::QUEUED; }));
      }
    }
    StartWorker();
    ASSERT_TRUE(WaitFor(created.name(), [](const pb::Job& job) { return job.has_finish_time(); }))
        << Get(created.name()).ShortDebugString();
    EXPECT_EQ(Get(created.name()).lease_epoch(), kills + 1);
    ExpectOneCleanLife(created.name(), kSteps, kills);
  }

  std::unique_ptr<pb::LeaseService::Stub> leases_ = pb::LeaseService::NewStub(fixture_.channel());
  pid_t pid_ = 0;
  int life_ = 0;
  std::string engine_ = "fake";
};

TEST_F(WorkerCrashTest, AJobWhoseWorkerIsKilledTwiceFinishesOnce) { KillTimes(2); }

TEST_F(WorkerCrashTest, AWorkerThatIsAskedToStopGivesItsJobToTheNextAtNoCost) {
  const pb::Job created = Create(Training(kSteps));
  StartWorker();
  ASSERT_TRUE(
      WaitFor(created.name(), [](const pb::Job& job) { return job.progress().step() >= 3; }));
  const absl::Duration asked = SystemClock().SteadyNow();
  EXPECT_EQ(Terminate(pid_), 0);
  // Orchestrators kill after their grace period, Kubernetes by default after 30 s.
  EXPECT_LT(SystemClock().SteadyNow() - asked, absl::Seconds(15));
  const pb::Job drained = Get(created.name());
  EXPECT_EQ(drained.state(), pb::Job::QUEUED);
  EXPECT_EQ(drained.lease_loss_count(), 0);
  StartWorker();
  ExpectOneCleanLife(created.name(), kSteps, 0);
}

TEST_F(WorkerCrashTest, ASchedulerThatRestartsUnderAJobIsNotNoticedByIt) {
  const pb::Job created = Create(Training(kSteps));
  StartWorker();
  ASSERT_TRUE(
      WaitFor(created.name(), [](const pb::Job& job) { return job.progress().step() >= 3; }));
  fixture_.Restart();
  ExpectOneCleanLife(created.name(), kSteps, 0);
  EXPECT_EQ(Get(created.name()).lease_epoch(), 1);
}

TEST_F(WorkerCrashTest, ASweepWhoseWorkerIsKilledGoesOnInTheTrialItWasIn) {
  engine_ = "fake-validating";
  const pb::Job created = CreateSweep();
  ASSERT_EQ(created.resolved_spec().sweep().trials_size(), 3);
  for (const int64_t step : {27, 46}) {  // in the second and in the third trial
    StartWorker();
    ASSERT_TRUE(WaitFor(created.name(), [&](const pb::Job& job) {
      return Checkpoint(job) >= step;
    })) << Get(created.name()).ShortDebugString();
    history_->Note();
    Kill(pid_);
    ReportCrash();
  }
  StartWorker();
  ASSERT_TRUE(WaitFor(created.name(), [](const pb::Job& job) { return job.has_finish_time(); }));
  const pb::Job job = Get(created.name());
  ASSERT_EQ(job.state(), pb::Job::SUCCEEDED) << job.ShortDebugString();
  // Every step of every trial once: none was run again from its beginning.
  history_->ExpectOneCleanLife(60, 2);
  const nlohmann::json report =
      nlohmann::json::parse(*fixture_.blobs().ReadAll(job.outputs().report()));
  ASSERT_EQ(report["trials"].size(), 3u);
  EXPECT_EQ(report["best"], 1);
  EXPECT_EQ(report["trials"][1]["values"]["learning_rate"], 2e-4);
  EXPECT_EQ(report["trials"][2]["end"], "FINISHED");
  EXPECT_EQ(report["trials"][1]["adapter"], job.outputs().adapter());
  EXPECT_FALSE(job.outputs().model_alias().empty());
}

using WorkerCrashLongTest = WorkerCrashTest;
TEST_F(WorkerCrashLongTest, AJobWhoseWorkerIsKilledTenTimesFinishesOnce) { KillTimes(10); }

}  // namespace
}  // namespace crossover::chaos
