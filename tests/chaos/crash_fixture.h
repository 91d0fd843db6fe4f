// Worker programs that are killed while they run a job, with the real scheduler on a real Postgres;
// their engine counts (50 ms a step) instead of training.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/process/spawn.h"
#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"
#include "tests/chaos/job_history.h"

namespace crossover::chaos {

namespace pb = scheduler::v1;

class CrashTest : public ::testing::Test {
 protected:
  static constexpr char kData[] = "projects/default/datasets/d/versions/sha256:1";

  CrashTest()
      : fixture_({.lease_ttl = absl::Seconds(8),
                  .heartbeat_interval = absl::Milliseconds(500),
                  .housekeeping_interval = absl::Milliseconds(200)}) {
    fixture_.AddBase("base", *fixture_.blobs().PutBytes("a base model"));
    testing::WriteFile(folder_ / "data/dataset.json", "{}");
    fixture_.curation().Add(kData, *fixture_.blobs().PutFolder("dataset", folder_ / "data"), 100,
                            20);
  }

  // A worker of this name, with more options. Its process.
  pid_t LaunchWorker(const std::string& name, const std::string& engine,
                     const std::vector<std::string>& more) {
    SpawnOptions options;
    options.argv = {
        std::string(std::getenv("CROSSOVER_BINARY_DIR")) + "/bin/crossover-trainer-worker",
        "--engine=" + engine,
        "--scheduler=" + fixture_.address(),
        "--worker-name=" + name,
        "--nice=0",
        "--grpc-address=127.0.0.1:0",
        "--metrics-address=127.0.0.1:0",
        "--blob-dir=" + fixture_.blob_root().string(),
        "--work-folder=" + (folder_ / ("work-" + name)).string(),
        "--log-level=error"};
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    options.parent_death_signal = SIGKILL;
    const absl::StatusOr<pid_t> pid = Spawn(options);
    EXPECT_OK(pid);
    return pid.value_or(0);
  }

  // Both end the process if there is one, wait for it, and set `pid` to 0. The exit status.
  static void Kill(pid_t& pid) { (void)End(pid, SIGKILL); }
  static int Terminate(pid_t& pid) { return End(pid, SIGTERM); }

  // An SFT of so many steps with a checkpoint every other one.
  static pb::CreateJobRequest Training(int64_t steps) {
    pb::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(pb::Job::SFT);
    request.mutable_job()->set_base_model("base");
    request.mutable_job()->set_dataset_version(kData);
    pb::TrainingSpec* spec = request.mutable_job()->mutable_spec()->mutable_training();
    spec->set_checkpoint_every(2);
    spec->set_max_steps(steps);
    return request;
  }

  // Tries again for a while: a job that no worker can take is refused, and some may not be known
  // yet. Its history begins.
  pb::Job Create(const pb::CreateJobRequest& request) {
    absl::StatusOr<pb::Job> job = absl::UnknownError("");
    for (int i = 0; i < 200 && !job.ok(); ++i) {
      job = rpc::Invoke(*jobs_, &pb::JobService::Stub::CreateJob, request);
      if (!job.ok()) SystemClock().SleepFor(absl::Milliseconds(100));
    }
    EXPECT_OK(job);
    if (!job.ok()) return {};
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
               absl::Duration limit = absl::Seconds(120)) {
    const absl::Duration give_up = SystemClock().SteadyNow() + limit;
    while (SystemClock().SteadyNow() < give_up) {
      if (condition(Get(name))) return true;
      SystemClock().SleepFor(absl::Milliseconds(20));
    }
    return false;
  }

  // Step of the last one that is kept; 0 = none.
  static int64_t Checkpoint(const pb::Job& job) {
    if (job.outputs().checkpoints().empty()) return 0;
    const std::string& name = job.outputs().checkpoints(0);
    return std::atoll(name.substr(name.rfind('/') + 1).c_str());
  }

  // Waits for the end of a job of Training(steps); then everything that must hold, however often
  // its workers died.
  void ExpectOneCleanLife(const std::string& name, int64_t steps, int losses) {
    ASSERT_TRUE(WaitFor(name, [](const pb::Job& job) { return job.has_finish_time(); }))
        << Get(name).ShortDebugString();
    history_->ExpectOneCleanLife(steps, losses);
    EXPECT_EQ(
        testing::ReadFile(*fixture_.blobs().LocalPathOf(Get(name).outputs().adapter(), "adapter")),
        absl::StrCat("weights after ", steps, " steps"));
  }

  testing::TempDir folder_;
  scheduler::SchedulerFixture fixture_;
  std::unique_ptr<pb::JobService::Stub> jobs_ = pb::JobService::NewStub(fixture_.channel());
  std::optional<JobHistory> history_;

 private:
  static int End(pid_t& pid, int signal) {
    if (pid == 0) return 0;
    kill(pid, signal);
    int status = 0;
    waitpid(pid, &status, 0);
    pid = 0;
    return status;
  }
};

}  // namespace crossover::chaos
