// Two workers that share a job, of which one is killed with -9: the real scheduler on a real
// Postgres, the real worker programs, and Gloo between them (their engine counts instead of
// training). The job goes on from its last checkpoint with a new gang and finishes once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/process/spawn.h"
#include "common/rpc/channel.h"
#include "common/testing/free_port.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"
#include "tests/chaos/job_history.h"

namespace crossover {
namespace {

namespace pb = scheduler::v1;

constexpr char kData[] = "projects/default/datasets/d/versions/sha256:1";
constexpr int kSteps = 60;  // of the fake engine, 50 ms each

class GangCrashTest : public ::testing::Test {
 protected:
  GangCrashTest()
      : fixture_({.lease_ttl = absl::Seconds(8),
                  .heartbeat_interval = absl::Milliseconds(500),
                  .housekeeping_interval = absl::Milliseconds(200)}) {
    fixture_.AddBase("base", *fixture_.blobs().PutBytes("a base model"));
    testing::WriteFile(folder_ / "data/dataset.json", "{}");
    fixture_.curation().Add(kData, *fixture_.blobs().PutFolder("dataset", folder_ / "data"), 100,
                            20);
    for (const char* name : {"a", "b"}) StartWorker(name);
  }
  ~GangCrashTest() override {
    for (const auto& [name, pid] : workers_) Kill(name);
  }

  void StartWorker(const std::string& name) {
    SpawnOptions options;
    options.argv = {
        std::string(std::getenv("CROSSOVER_BINARY_DIR")) + "/bin/crossover-trainer-worker",
        "--engine=fake",
        "--scheduler=" + fixture_.address(),
        "--worker-name=" + name,
        "--nice=0",
        "--max-gang=2",
        absl::StrCat("--gang-address=127.0.0.1:", testing::FreePort()),
        "--grpc-address=127.0.0.1:0",
        "--metrics-address=127.0.0.1:0",
        "--blob-dir=" + fixture_.blob_root().string(),
        "--work-folder=" + (folder_ / name).string(),
        "--log-level=error"};
    options.parent_death_signal = SIGKILL;
    absl::StatusOr<pid_t> pid = Spawn(options);
    ASSERT_OK(pid);
    workers_[name] = *pid;
  }

  void Signal(const std::string& name, int signal) { kill(workers_.at(name), signal); }
  void Kill(const std::string& name) {
    if (workers_.at(name) == 0) return;
    Signal(name, SIGKILL);
    waitpid(workers_.at(name), nullptr, 0);
    workers_.at(name) = 0;
  }

  // Ends with SIGTERM and waits; the exit status.
  int Terminate(const std::string& name) {
    Signal(name, SIGTERM);
    int status = 0;
    waitpid(workers_.at(name), &status, 0);
    workers_.at(name) = 0;
    return status;
  }

  pb::Job Create() {
    pb::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(pb::Job::SFT);
    request.mutable_job()->set_base_model("base");
    request.mutable_job()->set_dataset_version(kData);
    request.mutable_job()->mutable_requirements()->set_gang_size(2);
    pb::TrainingSpec* spec = request.mutable_job()->mutable_spec()->mutable_training();
    spec->set_checkpoint_every(2);
    spec->set_max_steps(kSteps);
    // Until both workers are known, only one may be: the job is refused for so long.
    absl::StatusOr<pb::Job> job = absl::UnknownError("");
    for (int i = 0; i < 200 && !job.ok(); ++i) {
      job = rpc::Invoke(*jobs_, &pb::JobService::Stub::CreateJob, request);
      if (!job.ok()) SystemClock().SleepFor(absl::Milliseconds(100));
    }
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
  bool WaitFor(const std::string& name, Condition condition,
               absl::Duration limit = absl::Seconds(90)) {
    const absl::Duration give_up = SystemClock().SteadyNow() + limit;
    while (SystemClock().SteadyNow() < give_up) {
      if (condition(Get(name))) return true;
      SystemClock().SleepFor(absl::Milliseconds(20));
    }
    return false;
  }

  static int64_t Checkpoint(const pb::Job& job) {
    if (job.outputs().checkpoints().empty()) return 0;
    const std::string& name = job.outputs().checkpoints(0);
    return std::atoll(name.substr(name.rfind('/') + 1).c_str());
  }

  // Until the gang has recorded a checkpoint at `step` or later. The name of rank 0, then of 1.
  std::array<std::string, 2> RanksAt(const std::string& job, int64_t step) {
    EXPECT_TRUE(WaitFor(job, [&](const pb::Job& now) {
      return now.state() == pb::Job::RUNNING && Checkpoint(now) >= step;
    })) << Get(job).ShortDebugString();
    history_->Note();
    const std::string leader = Get(job).worker();
    const bool a_leads = leader.ends_with("a");
    return {a_leads ? "a" : "b", a_leads ? "b" : "a"};
  }

  void ExpectOneCleanLife(const std::string& name, int losses) {
    ASSERT_TRUE(WaitFor(name, [](const pb::Job& job) { return job.has_finish_time(); }))
        << Get(name).ShortDebugString();
    history_->ExpectOneCleanLife(kSteps, losses);
    EXPECT_EQ(
        testing::ReadFile(*fixture_.blobs().LocalPathOf(Get(name).outputs().adapter(), "adapter")),
        absl::StrCat("weights after ", kSteps, " steps"));
  }

  testing::TempDir folder_;
  scheduler::SchedulerFixture fixture_;
  std::unique_ptr<pb::JobService::Stub> jobs_ = pb::JobService::NewStub(fixture_.channel());
  std::optional<chaos::JobHistory> history_;
  std::map<std::string, pid_t> workers_;
};

TEST_F(GangCrashTest, WhoeverOfTwoIsKilledTheJobFinishesOnce) {
  const std::string job = Create().name();
  const std::string follower = RanksAt(job, 10)[1];
  Kill(follower);
  ++chaos::TheTally().worker_kills;
  // Rank 0 misses it at the next sum, long before its lease ends.
  EXPECT_TRUE(WaitFor(
      job, [](const pb::Job& now) { return now.state() != pb::Job::RUNNING; }, absl::Seconds(5)));
  EXPECT_EQ(Get(job).failure_count() + Get(job).lease_loss_count(), 1);
  StartWorker(follower);

  const std::string leader = RanksAt(job, 30)[0];
  Kill(leader);
  ++chaos::TheTally().worker_kills;
  EXPECT_TRUE(WaitFor(job, [](const pb::Job& now) { return now.state() != pb::Job::RUNNING; }));
  StartWorker(leader);
  ExpectOneCleanLife(job, 2);
}

TEST_F(GangCrashTest, OneThatHangsIsMissedWhenItsLeaseEnds) {
  const std::string job = Create().name();
  const auto [leader, follower] = RanksAt(job, 6);
  Signal(follower, SIGSTOP);
  EXPECT_TRUE(WaitFor(job, [](const pb::Job& now) { return now.state() != pb::Job::RUNNING; }));
  EXPECT_EQ(Get(job).lease_loss_count(), 1);
  StartWorker("c");  // the two that are left share it
  EXPECT_TRUE(WaitFor(job, [](const pb::Job& now) {
    return now.state() == pb::Job::RUNNING && now.lease_epoch() == 2;
  })) << Get(job).ShortDebugString();
  ExpectOneCleanLife(job, 1);
  // What it waited for is still there, and does not keep it.
  EXPECT_EQ(Terminate(leader), 0);
  Signal(follower, SIGCONT);
  EXPECT_EQ(Terminate(follower), 0);
}

TEST_F(GangCrashTest, ADrainOfOneCostsNothingAndACancelEndsBoth) {
  const std::string job = Create().name();
  const auto [leader, follower] = RanksAt(job, 4);
  EXPECT_EQ(Terminate(follower), 0);
  const pb::Job drained = Get(job);
  EXPECT_EQ(drained.state(), pb::Job::QUEUED);
  EXPECT_EQ(drained.lease_loss_count() + drained.failure_count(), 0);
  StartWorker(follower);
  RanksAt(job, Checkpoint(drained) + 2);
  pb::CancelJobRequest cancel;
  cancel.set_name(job);
  ASSERT_OK(rpc::Invoke(*jobs_, &pb::JobService::Stub::CancelJob, cancel));
  EXPECT_TRUE(WaitFor(
      job, [](const pb::Job& now) { return now.state() == pb::Job::CANCELLED; }, absl::Seconds(5)))
      << Get(job).ShortDebugString();
}

}  // namespace
}  // namespace crossover
