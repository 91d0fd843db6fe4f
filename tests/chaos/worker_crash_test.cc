// Workers that are killed with -9 while they run a job, with the real scheduler on a real Postgres
// and the real worker program (its engine counts instead of training). The job finishes once; no
// event, metric or checkpoint is lost or doubled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "absl/strings/str_cat.h"
#include "common/process/spawn.h"
#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"
#include "tests/chaos/job_history.h"

namespace crossover {
namespace {

namespace pb = scheduler::v1;

constexpr char kData[] = "projects/default/datasets/d/versions/sha256:1";
constexpr int kSteps = 80;  // of the fake engine, 50 ms each

class WorkerCrashTest : public ::testing::Test {
 protected:
  WorkerCrashTest()
      : fixture_({.lease_ttl = absl::Seconds(8),
                  .heartbeat_interval = absl::Milliseconds(500),
                  .housekeeping_interval = absl::Milliseconds(200)}) {
    fixture_.AddBase("base", *fixture_.blobs().PutBytes("a base model"));
    testing::WriteFile(folder_ / "data/dataset.json", "{}");
    fixture_.curation().Add(kData, *fixture_.blobs().PutFolder("dataset", folder_ / "data"), 100,
                            20);
  }
  ~WorkerCrashTest() override { Kill(); }

  void StartWorker() {
    ++life_;
    SpawnOptions options;
    options.argv = {
        std::string(std::getenv("CROSSOVER_BINARY_DIR")) + "/bin/crossover-trainer-worker",
        "--engine=" + engine_,
        "--scheduler=" + fixture_.address(),
        "--worker-name=w",
        "--nice=0",
        absl::StrCat("--incarnation=life-", life_),
        "--grpc-address=127.0.0.1:0",
        "--metrics-address=127.0.0.1:0",
        "--blob-dir=" + fixture_.blob_root().string(),
        "--work-folder=" + (folder_ / "work").string(),
        "--log-level=error"};
    options.parent_death_signal = SIGKILL;
    absl::StatusOr<pid_t> pid = Spawn(options);
    ASSERT_OK(pid);
    pid_ = *pid;
  }

  void Kill() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

  // Ends with SIGTERM and waits; the exit status.
  int Terminate() {
    kill(pid_, SIGTERM);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return status;
  }

  // What the platform does when it reaps its child.
  void ReportCrash() {
    pb::ReleaseLeaseRequest request;
    request.set_worker("workers/w");
    request.set_incarnation(absl::StrCat("life-", life_));
    request.set_reason(pb::ReleaseLeaseRequest::CRASHED);
    ASSERT_OK(rpc::Invoke(*leases_, &pb::LeaseService::Stub::ReleaseLease, request));
  }

  pb::Job Create() {
    pb::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(pb::Job::SFT);
    request.mutable_job()->set_base_model("base");
    request.mutable_job()->set_dataset_version(kData);
    pb::TrainingSpec* spec = request.mutable_job()->mutable_spec()->mutable_training();
    spec->set_checkpoint_every(2);
    spec->set_max_steps(kSteps);
    absl::StatusOr<pb::Job> job = rpc::Invoke(*jobs_, &pb::JobService::Stub::CreateJob, request);
    EXPECT_OK(job);
    history_.emplace([this] { return fixture_.channel(); }, job->name());
    return *job;
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
    absl::StatusOr<pb::Job> job = rpc::Invoke(*jobs_, &pb::JobService::Stub::CreateJob, request);
    EXPECT_OK(job);
    history_.emplace([this] { return fixture_.channel(); }, job->name());
    return *job;
  }

  pb::Job Get(const std::string& name) {
    pb::GetJobRequest request;
    request.set_name(name);
    absl::StatusOr<pb::Job> job = rpc::Invoke(*jobs_, &pb::JobService::Stub::GetJob, request,
                                              {.idempotent = true, .wait_for_ready = true});
    EXPECT_OK(job);
    return job.value_or(pb::Job());
  }

  template <typename Condition>
  bool WaitFor(const std::string& name, Condition condition) {
    const absl::Duration give_up = SystemClock().SteadyNow() + absl::Seconds(120);
    while (SystemClock().SteadyNow() < give_up) {
      if (condition(Get(name))) return true;
      SystemClock().SleepFor(absl::Milliseconds(20));
    }
    return false;
  }

  // Everything that must hold of a job that succeeded, however often its workers died.
  void ExpectOneCleanLife(const pb::Job& job, int losses) {
    history_->ExpectOneCleanLife(kSteps, losses);
    EXPECT_EQ(testing::ReadFile(*fixture_.blobs().LocalPathOf(job.outputs().adapter(), "adapter")),
              "weights after 80 steps");
  }

  static int64_t Checkpoint(const pb::Job& job) {
    if (job.outputs().checkpoints().empty()) return 0;
    const std::string& name = job.outputs().checkpoints(0);
    return std::atoll(name.substr(name.rfind('/') + 1).c_str());
  }

  void KillTimes(int kills) {
    std::mt19937 dice(7);
    const pb::Job created = Create();
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
      Kill();
      ++chaos::TheTally().worker_kills;
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
    const pb::Job job = Get(created.name());
    EXPECT_EQ(job.lease_epoch(), kills + 1);
    ExpectOneCleanLife(job, kills);
  }

  testing::TempDir folder_;
  scheduler::SchedulerFixture fixture_;
  std::unique_ptr<pb::JobService::Stub> jobs_ = pb::JobService::NewStub(fixture_.channel());
  std::unique_ptr<pb::LeaseService::Stub> leases_ = pb::LeaseService::NewStub(fixture_.channel());
  std::optional<chaos::JobHistory> history_;
  pid_t pid_ = 0;
  int life_ = 0;
  std::string engine_ = "fake";
};

TEST_F(WorkerCrashTest, AJobWhoseWorkerIsKilledTwiceFinishesOnce) { KillTimes(2); }

TEST_F(WorkerCrashTest, AWorkerThatIsAskedToStopGivesItsJobToTheNextAtNoCost) {
  const pb::Job created = Create();
  StartWorker();
  ASSERT_TRUE(
      WaitFor(created.name(), [](const pb::Job& job) { return job.progress().step() >= 3; }));
  const absl::Duration asked = SystemClock().SteadyNow();
  EXPECT_EQ(Terminate(), 0);
  // Orchestrators kill after their grace period, Kubernetes by default after 30 s.
  EXPECT_LT(SystemClock().SteadyNow() - asked, absl::Seconds(15));
  const pb::Job drained = Get(created.name());
  EXPECT_EQ(drained.state(), pb::Job::QUEUED);
  EXPECT_EQ(drained.lease_loss_count(), 0);
  StartWorker();
  ASSERT_TRUE(WaitFor(created.name(), [](const pb::Job& job) { return job.has_finish_time(); }));
  ExpectOneCleanLife(Get(created.name()), 0);
}

TEST_F(WorkerCrashTest, ASchedulerThatRestartsUnderAJobIsNotNoticedByIt) {
  const pb::Job created = Create();
  StartWorker();
  ASSERT_TRUE(
      WaitFor(created.name(), [](const pb::Job& job) { return job.progress().step() >= 3; }));
  fixture_.Restart();
  ASSERT_TRUE(WaitFor(created.name(), [](const pb::Job& job) { return job.has_finish_time(); }));
  const pb::Job job = Get(created.name());
  EXPECT_EQ(job.lease_epoch(), 1);
  ExpectOneCleanLife(job, 0);
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
    Kill();
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
}  // namespace crossover
