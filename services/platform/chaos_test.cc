// Kills every process of a running platform with SIGKILL, again and again: everything comes back, and nothing acknowledged is lost.
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
    out.push_back({std::stoi(name), std::stoi(text.substr(close + 4)), text.substr(open + 1, close - open - 1)});
  }
  return out;
}

// The platform as its user runs it: a process of its own.
class ChaosTest : public ::testing::Test {
 protected:
  void SetUp() override { Launch(); }
  void TearDown() override {
    if (HasFailure()) ADD_FAILURE() << "platform's log:\n" << testing::ReadFile(dir_ / "platform.log");
    if (pid_ > 0) ::kill(pid_, SIGTERM);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }

  void Launch() {
    const fs::path bin = fs::path(std::getenv("CROSSOVER_BINARY_DIR")) / "bin/crossover-platform";
    auto pid = Spawn({.argv = {bin.string(), "--data=" + (dir_ / "data").string(), "--http-address=127.0.0.1:0",
                               "--admin-address=127.0.0.1:0", "--grpc-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"},
                      .parent_death_signal = SIGKILL,
                      .output = dir_ / "platform.log"});
    ASSERT_OK(pid);
    pid_ = *pid;
    ASSERT_TRUE(WaitUntilReady()) << "the platform did not come up";
  }

  // The state file of the platform that runs now.
  std::optional<nlohmann::json> State() {
    if (!fs::exists(dir_ / "data/platform.json")) return std::nullopt;
    auto state = nlohmann::json::parse(testing::ReadFile(dir_ / "data/platform.json"), nullptr, false);
    if (!state.is_object() || state.at("pid") != pid_) return std::nullopt;
    return state;
  }

  bool WaitUntilReady() {
    for (int i = 0; i < 1200; ++i) {
      if (const auto state = State()) {
        const auto ready = client_.Send({.url = state->at("admin").get<std::string>() + "/readyz", .timeout = absl::Seconds(5)});
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
      if (process.parent == pid_ && process.command.starts_with(name.substr(0, 15))) return process.pid;
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
                          {.timeout = absl::Seconds(60), .idempotent = true, .max_attempts = 100, .wait_for_ready = true}));
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
      for (const pid_t child : children) EXPECT_NE(process.pid, child) << process.command << " outlived its platform";
    }
    ExpectBaseModel();
  }
}

}  // namespace
}  // namespace crossover::platform
