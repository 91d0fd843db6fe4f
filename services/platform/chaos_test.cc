// Kills every process of a running platform with SIGKILL, again and again: everything comes back,
// and nothing acknowledged is lost.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/http/client.h"
#include "common/process/spawn.h"
#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/clock.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::platform {
namespace {

namespace fs = std::filesystem;
namespace pb = ::crossover::scheduler::v1;
constexpr int kRounds = 10;

// A process as /proc shows it.
struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  std::string command;
};

std::vector<Process> AllProcesses() {
  std::vector<Process> out;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream stat(entry.path() / "stat");
    std::string text((std::istreambuf_iterator<char>(stat)), {});
    const size_t open = text.find('(');
    const size_t close = text.rfind(')');
    if (open == std::string::npos || close == std::string::npos || text[close + 2] == 'Z') continue;
    out.push_back({std::stoi(name), std::stoi(text.substr(close + 4)),
                   text.substr(open + 1, close - open - 1)});
  }
  return out;
}

// The platform as its user runs it: a process of its own.
class ChaosTest : public ::testing::Test {
 protected:
  void SetUp() override { Launch(); }
  void TearDown() override {
    if (HasFailure())
      ADD_FAILURE() << "platform's log:\n" << testing::ReadFile(dir_ / "platform.log");
    if (pid_ > 0) ::kill(pid_, SIGTERM);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }

  void Launch() {
    const fs::path bin = fs::path(std::getenv("CROSSOVER_BINARY_DIR")) / "bin/crossover-platform";
    auto pid = Spawn({.argv = {bin.string(), "--data=" + (dir_ / "data").string(),
                               "--http-address=127.0.0.1:0", "--admin-address=127.0.0.1:0",
                               "--grpc-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"},
                      .parent_death_signal = SIGKILL,
                      .output = dir_ / "platform.log"});
    ASSERT_OK(pid);
    pid_ = *pid;
    ASSERT_TRUE(WaitUntilReady()) << "the platform did not come up";
  }

  // The state file of the platform that runs now.
  std::optional<nlohmann::json> State() {
    if (!fs::exists(dir_ / "data/platform.json")) return std::nullopt;
    auto state =
        nlohmann::json::parse(testing::ReadFile(dir_ / "data/platform.json"), nullptr, false);
    if (!state.is_object() || state.at("pid") != pid_) return std::nullopt;
    return state;
  }

  bool WaitUntilReady() {
    for (int i = 0; i < 1200; ++i) {
      if (const auto state = State()) {
        const auto ready = client_.Send({.url = state->at("admin").get<std::string>() + "/readyz",
                                         .timeout = absl::Seconds(5)});
        if (ready.ok() && ready->status == 200) return true;
      }
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return false;
      SystemClock().SleepFor(absl::Milliseconds(100));
    }
    return false;
  }

  // The platform's own child whose name begins so, or 0. The kernel cuts names at 15 characters.
  pid_t ChildPid(std::string_view name) {
    for (const Process& process : AllProcesses()) {
      if (process.parent == pid_ && process.command.starts_with(name.substr(0, 15)))
        return process.pid;
    }
    return 0;
  }

  bool WaitForAnother(std::string_view name, pid_t old) {
    for (int i = 0; i < 600; ++i) {
      const pid_t now = ChildPid(name);
      if (now != 0 && now != old) return true;
      SystemClock().SleepFor(absl::Milliseconds(100));
    }
    return false;
  }

  // The base model, imported on the first start, is what must not get lost.
  void ExpectBaseModel() {
    auto stub = pb::ModelService::NewStub(rpc::NewChannel(State()->at("grpc")));
    pb::GetModelRequest request;
    request.set_name("projects/default/models/smollm2-135m-instruct");
    EXPECT_OK(rpc::Invoke(*stub, &pb::ModelService::Stub::GetModel, request,
                          {.timeout = absl::Seconds(60),
                           .idempotent = true,
                           .max_attempts = 100,
                           .wait_for_ready = true}));
  }

  void KillChildAgainAndAgain(std::string_view name) {
    for (int round = 0; round < kRounds; ++round) {
      const pid_t victim = ChildPid(name);
      ASSERT_GT(victim, 0) << name << " is not there in round " << round;
      ::kill(victim, SIGKILL);
      ASSERT_TRUE(WaitForAnother(name, victim)) << name << " did not come back in round " << round;
      ASSERT_TRUE(WaitUntilReady());
    }
    ExpectBaseModel();
  }

  testing::TempDir dir_;
  http::Client client_;
  pid_t pid_ = 0;
};

TEST_F(ChaosTest, PostgresComesBack) { KillChildAgainAndAgain("postgres"); }

TEST_F(ChaosTest, TheModelServerComesBack) { KillChildAgainAndAgain("crossover-model-server"); }

TEST_F(ChaosTest, TheTrainerWorkerComesBack) { KillChildAgainAndAgain("crossover-trainer-worker"); }

TEST_F(ChaosTest, ThePlatformComesBackAndTakesItsChildrenWithIt) {
  for (int round = 0; round < kRounds; ++round) {
    std::vector<pid_t> children;
    for (const Process& process : AllProcesses()) {
      if (process.parent == pid_) children.push_back(process.pid);
    }
    ASSERT_GE(children.size(), 3u);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    Launch();
    if (HasFatalFailure()) return;
    for (const Process& process : AllProcesses()) {
      for (const pid_t child : children)
        EXPECT_NE(process.pid, child) << process.command << " outlived its platform";
    }
    ExpectBaseModel();
  }
}

// The same, with a training job in progress.
class JobChaosTest : public ChaosTest {
 protected:
  static constexpr int kSteps = 60;

  // Runs the command line against the platform; its standard output.
  std::string Crossover(std::vector<std::string> args) {
    const fs::path bin = fs::path(std::getenv("CROSSOVER_BINARY_DIR")) / "bin/crossover";
    args.insert(args.begin(), bin.string());
    const fs::path out = dir_ / "cli.out";
    fs::remove(out);
    const auto status =
        RunToEnd({.argv = args,
                  .environment = {{{"CROSSOVER_DATA", dir_ / "data"}, {"HOME", dir_.path()}}},
                  .output = out});
    EXPECT_THAT(status, IsOkAndHolds(0)) << testing::ReadFile(out);
    return testing::ReadFile(out);
  }

  // Rows that no stage takes for duplicates: words drawn by a fixed generator.
  void WriteRows(const fs::path& path) {
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

  std::string StartJob() {
    WriteRows(dir_ / "rows.jsonl");
    Crossover({"dataset", "import", "chaos", dir_ / "rows.jsonl", "--seal"});
    const auto job = nlohmann::json::parse(Crossover(
        {"--json", "tune", "chaos", "--base", "smollm2-135m-instruct", "--set",
         "max_steps=" + std::to_string(kSteps), "--set", "batch_size=4", "--set", "epochs=50",
         "--set", "checkpoint_every=2", "--set", "early_stop_patience=0", "--detach"}));
    return job.at("name");
  }

  pb::Job GetJob(const std::string& name) {
    auto stub = pb::JobService::NewStub(rpc::NewChannel(State()->at("grpc")));
    pb::GetJobRequest request;
    request.set_name(name);
    auto job = rpc::Invoke(*stub, &pb::JobService::Stub::GetJob, request,
                           {.timeout = absl::Seconds(60),
                            .idempotent = true,
                            .max_attempts = 100,
                            .wait_for_ready = true});
    return job.ok() ? *job : pb::Job();
  }

  // Until the job is past `step` or has ended.
  pb::Job WaitForStep(const std::string& name, int64_t step) {
    pb::Job job;
    for (int i = 0; i < 3000; ++i) {
      job = GetJob(name);
      if (job.progress().step() > step || job.has_finish_time()) return job;
      SystemClock().SleepFor(absl::Milliseconds(100));
    }
    ADD_FAILURE() << "no progress beyond step " << step << ": " << job.ShortDebugString();
    return job;
  }

  void ExpectOneCleanHistory(const std::string& name) {
    const pb::Job job = WaitForStep(name, kSteps);
    EXPECT_EQ(job.state(), pb::Job::SUCCEEDED) << job.ShortDebugString();
    auto stub = pb::JobService::NewStub(rpc::NewChannel(State()->at("grpc")));
    pb::ListJobEventsRequest request;
    request.set_parent(name);
    request.set_page_size(1000);
    request.set_order_by("sequence");
    ASSERT_OK_AND_ASSIGN(const auto events,
                         rpc::Invoke(*stub, &pb::JobService::Stub::ListJobEvents, request));
    int64_t expected = 1;
    for (const auto& event : events.events())
      EXPECT_EQ(event.sequence(), expected++) << "an event is lost or doubled";
    pb::ListMetricPointsRequest points;
    points.set_parent(name);
    points.set_page_size(1000);
    ASSERT_OK_AND_ASSIGN(const auto metrics,
                         rpc::Invoke(*stub, &pb::JobService::Stub::ListMetricPoints, points));
    int64_t last = 0;
    for (const auto& point : metrics.points()) {
      EXPECT_GT(point.step(), last) << "a step is doubled";
      last = point.step();
    }
    EXPECT_EQ(last, kSteps);
  }
};

TEST_F(JobChaosTest, AJobOutlivesTenDeathsOfItsWorker) {
  const std::string job = StartJob();
  int64_t step = 0;
  for (int round = 0; round < kRounds; ++round) {
    const pb::Job now = WaitForStep(job, step);
    ASSERT_FALSE(now.has_finish_time()) << now.ShortDebugString();
    step = now.progress().step() + 2;  // a checkpoint lies between two kills
    const pid_t worker = ChildPid("crossover-trainer-worker");
    if (worker > 0) ::kill(worker, SIGKILL);
  }
  ExpectOneCleanHistory(job);
}

TEST_F(JobChaosTest, AJobOutlivesTenDeathsOfPostgres) {
  const std::string job = StartJob();
  int64_t step = 0;
  for (int round = 0; round < kRounds; ++round) {
    step = WaitForStep(job, step).progress().step();
    const pid_t postgres = ChildPid("postgres");
    ASSERT_GT(postgres, 0);
    ::kill(postgres, SIGKILL);
    ASSERT_TRUE(WaitForAnother("postgres", postgres));
    ASSERT_TRUE(WaitUntilReady());
  }
  ExpectOneCleanHistory(job);
}

TEST_F(JobChaosTest, AJobOutlivesTenDeathsOfThePlatform) {
  const std::string job = StartJob();
  int64_t step = 0;
  for (int round = 0; round < kRounds; ++round) {
    step = WaitForStep(job, step).progress().step() + 2;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    Launch();
    if (HasFatalFailure()) return;
  }
  ExpectOneCleanHistory(job);
}

}  // namespace
}  // namespace crossover::platform
