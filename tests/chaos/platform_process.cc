#include "tests/chaos/platform_process.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "common/process/spawn.h"
#include "common/testing/matchers.h"
#include "common/time/clock.h"

namespace crossover::chaos {
namespace {

namespace fs = std::filesystem;

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

fs::path Program(const char* name) {
  return fs::path(std::getenv("CROSSOVER_BINARY_DIR")) / "bin" / name;
}

}  // namespace

bool IsAlive(pid_t pid) {
  const std::vector<Process> all = AllProcesses();
  return std::any_of(all.begin(), all.end(), [pid](const Process& p) { return p.pid == pid; });
}

void PlatformProcess::TearDown() {
  if (HasFailure())
    ADD_FAILURE() << "platform's log:\n" << testing::ReadFile(dir_ / "platform.log");
  if (pid_ > 0) ::kill(pid_, SIGTERM);
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

void PlatformProcess::Launch() {
  auto pid = Spawn({.argv = {Program("crossover-platform"), "--data=" + (dir_ / "data").string(),
                             "--http-address=127.0.0.1:0", "--admin-address=127.0.0.1:0",
                             "--grpc-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"},
                    .parent_death_signal = SIGKILL,
                    .output = dir_ / "platform.log"});
  ASSERT_OK(pid);
  pid_ = *pid;
  ASSERT_TRUE(WaitUntilReady()) << "the platform did not come up";
}

void PlatformProcess::KillPlatform() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

std::optional<nlohmann::json> PlatformProcess::State() {
  if (!fs::exists(dir_ / "data/platform.json")) return std::nullopt;
  auto state =
      nlohmann::json::parse(testing::ReadFile(dir_ / "data/platform.json"), nullptr, false);
  if (!state.is_object() || state.at("pid") != pid_) return std::nullopt;
  return state;
}

bool PlatformProcess::WaitUntilReady() {
  for (int i = 0; i < 1200; ++i) {
    if (const auto state = State()) {
      const auto ready = client_.Send(
          {.url = state->at("admin").get<std::string>() + "/readyz", .timeout = absl::Seconds(5)});
      if (ready.ok() && ready->status == 200) return true;
    }
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return false;
    SystemClock().SleepFor(absl::Milliseconds(100));
  }
  return false;
}

std::vector<pid_t> PlatformProcess::Children() {
  std::vector<pid_t> out;
  for (const Process& process : AllProcesses()) {
    if (process.parent == pid_) out.push_back(process.pid);
  }
  return out;
}

pid_t PlatformProcess::ChildPid(std::string_view program) {
  constexpr size_t kLongestName = 15;  // the kernel cuts names
  for (const Process& process : AllProcesses()) {
    if (process.parent == pid_ && process.command.starts_with(program.substr(0, kLongestName)))
      return process.pid;
  }
  return 0;
}

pid_t PlatformProcess::WaitForChild(std::string_view program, pid_t old) {
  for (int i = 0; i < 600; ++i) {
    const pid_t now = ChildPid(program);
    if (now != 0 && now != old) return now;
    SystemClock().SleepFor(absl::Milliseconds(100));
  }
  return 0;
}

std::string PlatformProcess::Crossover(std::vector<std::string> args) {
  args.insert(args.begin(), Program("crossover"));
  const fs::path out = dir_ / "cli.out";
  fs::remove(out);
  const auto status =
      RunToEnd({.argv = args,
                .environment = {{{"CROSSOVER_DATA", dir_ / "data"}, {"HOME", dir_.path()}}},
                .output = out});
  EXPECT_THAT(status, testing::IsOkAndHolds(0)) << testing::ReadFile(out);
  return testing::ReadFile(out);
}

}  // namespace crossover::chaos
