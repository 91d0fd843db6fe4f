// Kills every process of a running platform with SIGKILL, again and again: everything comes back,
// and nothing acknowledged is lost. Short: two deaths of each; the others are for ./dev test
// --chaos.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "common/time/clock.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"
#include "tests/chaos/job_history.h"
#include "tests/chaos/platform_process.h"

namespace crossover::chaos {
namespace {

namespace pb = ::crossover::scheduler::v1;
constexpr int kRounds = 10;

const rpc::CallOptions kPatient{
    .timeout = absl::Seconds(60), .idempotent = true, .max_attempts = 100, .wait_for_ready = true};

class IdleTest : public PlatformProcess {
 protected:
  // The base model, imported on the first start, is what must not get lost.
  void ExpectBaseModel() {
    auto stub = pb::ModelService::NewStub(rpc::NewChannel(State()->at("grpc")));
    pb::GetModelRequest request;
    request.set_name("projects/default/models/smollm2-135m-instruct");
    EXPECT_OK(rpc::Invoke(*stub, &pb::ModelService::Stub::GetModel, request, kPatient));
  }

  void KillChildAgainAndAgain(std::string_view program) {
    for (int round = 0; round < kRounds; ++round) {
      const pid_t victim = WaitForChild(program);
      ASSERT_GT(victim, 0) << program << " is not there in round " << round;
      ::kill(victim, SIGKILL);
      ASSERT_GT(WaitForChild(program, victim), 0)
          << program << " did not come back in round " << round;
      ASSERT_TRUE(WaitUntilReady());
    }
    ExpectBaseModel();
  }
};

TEST_F(IdleTest, PostgresComesBack) { KillChildAgainAndAgain(kPostgres); }

TEST_F(IdleTest, TheModelServerComesBack) { KillChildAgainAndAgain(kModelServer); }

TEST_F(IdleTest, TheTrainerWorkerComesBack) { KillChildAgainAndAgain(kTrainerWorker); }

TEST_F(IdleTest, ThePlatformComesBackAndTakesItsChildrenWithIt) {
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<pid_t> children = Children();
    ASSERT_GE(children.size(), 3u);
    KillPlatform();
    Launch();
    if (HasFatalFailure()) return;
    for (const pid_t child : children)
      EXPECT_FALSE(IsAlive(child)) << child << " outlived its platform";
    ExpectBaseModel();
  }
}

// The same, with a training job in progress. Each kill finds the job RUNNING and further than the
// one before: `steps` is what a job needs to live through all of them.
class JobTest : public PlatformProcess {
 protected:
  // Rows that no stage takes for duplicates: words drawn by a fixed generator.
  void WriteRows(const std::filesystem::path& path) {
    std::string text;
    uint64_t state = 7;
    const auto word = [&state] {
      state = state * 6364136223846793005u + 1442695040888963407u;
      std::string out;
      for (uint64_t bits = state >> 24; out.size() < 6; bits /= 26)
        out += static_cast<char>('a' + bits % 26);
      return out;
    };
    for (int i = 0; i < 80; ++i) {
      std::string input;
      for (int w = 0; w < 8; ++w) input += word() + " ";
      const nlohmann::json row{
          {"messages",
           {{{"role", "user"}, {"content", input}}, {{"role", "assistant"}, {"content", word()}}}}};
      text += row.dump() + "\n";
    }
    testing::WriteFile(path, text);
  }

  void StartJob(int64_t steps) {
    steps_ = steps;
    WriteRows(dir_ / "rows.jsonl");
    Crossover({"dataset", "import", "chaos", dir_ / "rows.jsonl", "--seal"});
    const auto job = nlohmann::json::parse(Crossover(
        {"--json", "tune", "chaos", "--base", "smollm2-135m-instruct", "--set",
         "max_steps=" + std::to_string(steps), "--set", "batch_size=4", "--set", "epochs=50",
         "--set", "checkpoint_every=2", "--set", "early_stop_patience=0", "--detach"}));
    job_ = job.at("name");
    history_.emplace([this] { return rpc::NewChannel(State()->at("grpc")); }, job_);
  }

  pb::Job GetJob() {
    auto stub = pb::JobService::NewStub(rpc::NewChannel(State()->at("grpc")));
    pb::GetJobRequest request;
    request.set_name(job_);
    auto job = rpc::Invoke(*stub, &pb::JobService::Stub::GetJob, request, kPatient);
    EXPECT_OK(job);
    return job.value_or(pb::Job());
  }

  // Waits until the job is past where the last kill found it, by more than the distance of two
  // checkpoints, and under a lease that is newer than the ones lost; notes its history. A fatal
  // failure if it does not RUN then.
  void GetOn() {
    pb::Job job;
    for (int i = 0; i < 3000; ++i) {
      job = GetJob();
      if (job.has_finish_time()) break;
      if (job.state() == pb::Job::RUNNING && job.lease_epoch() > losses_ &&
          job.progress().step() > step_)
        break;
      SystemClock().SleepFor(absl::Milliseconds(50));
    }
    history_->Note();
    ASSERT_EQ(job.state(), pb::Job::RUNNING) << job.ShortDebugString();
    ASSERT_GT(job.progress().step(), step_) << job.ShortDebugString();
    ASSERT_LT(job.progress().step(), steps_ - 1) << "the job is too short for this test";
    step_ = job.progress().step() + 2;
  }

  void KillWorker() {
    const pid_t worker = WaitForChild(kTrainerWorker);
    ASSERT_GT(worker, 0);
    ::kill(worker, SIGKILL);
    ++losses_;
    ++TheTally().worker_kills;
    ASSERT_GT(WaitForChild(kTrainerWorker, worker), 0) << "the worker did not come back";
  }

  void KillPostgres() {
    const pid_t postgres = ChildPid(kPostgres);
    ASSERT_GT(postgres, 0);
    ::kill(postgres, SIGKILL);
    ++TheTally().postgres_kills;
    ASSERT_GT(WaitForChild(kPostgres, postgres), 0) << "Postgres did not come back";
    ASSERT_TRUE(WaitUntilReady());
  }

  void KillThePlatform() {
    KillPlatform();
    ++losses_;
    ++TheTally().platform_kills;
    Launch();
  }

  enum class Victim { kWorker, kPostgres, kPlatform };

  void Kill(Victim victim) {
    if (victim == Victim::kWorker) KillWorker();
    if (victim == Victim::kPostgres) KillPostgres();
    if (victim == Victim::kPlatform) KillThePlatform();
  }

  // Each victim once a round, then the end.
  void KillTimes(int rounds, const std::vector<Victim>& victims) {
    for (int round = 0; round < rounds; ++round) {
      for (const Victim victim : victims) {
        GetOn();
        if (HasFatalFailure()) return;
        Kill(victim);
        if (HasFatalFailure()) return;
      }
    }
    for (int i = 0; i < 6000 && !GetJob().has_finish_time(); ++i)
      SystemClock().SleepFor(absl::Milliseconds(100));
    history_->ExpectOneCleanLife(steps_, losses_);
  }

  std::string job_;
  std::optional<JobHistory> history_;
  int64_t steps_ = 0;
  int64_t step_ = 0;
  int losses_ = 0;
};

TEST_F(JobTest, OutlivesTenDeathsOfItsWorker) {
  StartJob(80);
  KillTimes(kRounds, {Victim::kWorker});
}

TEST_F(JobTest, OutlivesTenDeathsOfPostgres) {
  StartJob(80);
  KillTimes(kRounds, {Victim::kPostgres});
}

TEST_F(JobTest, OutlivesTenDeathsOfThePlatform) {
  StartJob(80);
  KillTimes(kRounds, {Victim::kPlatform});
}

using ShortJobTest = JobTest;
TEST_F(ShortJobTest, OutlivesTwoDeathsOfEach) {
  StartJob(40);
  KillTimes(2, {Victim::kWorker, Victim::kPostgres, Victim::kPlatform});
}

}  // namespace
}  // namespace crossover::chaos
