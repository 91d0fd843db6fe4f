#include "services/platform/child.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/synchronization/notification.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::platform {
namespace {

using ::testing::HasSubstr;

class ChildTest : public ::testing::Test {
 protected:
  ChildOptions Shell(const std::string& script) {
    return {.name = "test",
            .command = [script] { return SpawnOptions{.argv = {"/bin/sh", "-c", script}}; },
            .stop_timeout = absl::Seconds(10),
            .backoff_min = absl::Milliseconds(5),
            .backoff_max = absl::Milliseconds(50)};
  }
  template <typename Fn>
  bool Eventually(Fn fn) {
    for (int i = 0; i < 4000; ++i) {
      if (fn()) return true;
      SystemClock().SleepFor(absl::Milliseconds(5));
    }
    return false;
  }

  FakeLogger logger_;
  metrics::Registry registry_{"test"};
};

TEST_F(ChildTest, AKilledChildIsStartedAgainAndItsParentIsTold) {
  ChildOptions options = Shell("exec sleep 1000");
  std::atomic<int> status = 0;
  options.on_exit = [&](int wait_status) { status = wait_status; };
  ASSERT_OK_AND_ASSIGN(auto child, Child::Start(options, SystemClock(), logger_, registry_));
  const pid_t first = child->pid();
  ASSERT_GT(first, 0);
  ::kill(first, SIGKILL);
  ASSERT_TRUE(Eventually([&] { return child->pid() > 0 && child->pid() != first; }));
  EXPECT_EQ(DescribeExit(status), "killed by signal 9 (Killed)");
  EXPECT_EQ(child->restarts(), 1);
  EXPECT_THAT(registry_.Expose(),
              HasSubstr("crossover_platform_child_restarts_total{child=\"test\"} 1"));
}

TEST_F(ChildTest, BackOffGrowsWhileItKeepsDying) {
  ASSERT_OK_AND_ASSIGN(auto child,
                       Child::Start(Shell("exit 3"), SystemClock(), logger_, registry_));
  ASSERT_TRUE(Eventually([&] { return child->restarts() >= 4; }));
  child->Stop();
  const auto deaths = logger_.Events("child_died");
  ASSERT_GE(deaths.size(), 4u);
  EXPECT_EQ(deaths[0].Field("restart_seconds"), "0.005");
  EXPECT_EQ(deaths[3].Field("restart_seconds"), "0.04");
  EXPECT_EQ(deaths[0].Field("how"), "exited with code 3");
}

TEST_F(ChildTest, StopAsksFirstAndDoesNotRestart) {
  testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto child,
                       Child::Start(Shell("trap 'echo asked > " + (dir / "out").string() +
                                          "; exit 0' TERM; echo up > " + (dir / "up").string() +
                                          "; while :; do sleep 0.01; done"),
                                    SystemClock(), logger_, registry_));
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(dir / "up"); }));
  child->Stop();
  child->Stop();
  EXPECT_EQ(testing::ReadFile(dir / "out"), "asked\n");
  EXPECT_EQ(child->restarts(), 0);
  EXPECT_EQ(child->pid(), 0);
}

TEST_F(ChildTest, AChildThatIgnoresTheRequestIsKilled) {
  testing::TempDir dir;
  ChildOptions options =
      Shell("trap '' TERM; echo up > " + (dir / "up").string() + "; while :; do sleep 0.01; done");
  options.stop_timeout = absl::Milliseconds(50);
  ASSERT_OK_AND_ASSIGN(auto child, Child::Start(options, SystemClock(), logger_, registry_));
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(dir / "up"); }));
  child->Stop();
  EXPECT_EQ(logger_.Events("child_killed").size(), 1u);
}

TEST_F(ChildTest, AMissingProgramIsAnErrorOfStart) {
  ChildOptions options{.name = "test",
                       .command = [] { return SpawnOptions{.argv = {"/nonexistent/program"}}; }};
  EXPECT_THAT(Child::Start(options, SystemClock(), logger_, registry_).status(),
              HasReasonThat("PROGRAM_NOT_FOUND"));
}

TEST_F(ChildTest, TheChildDiesWithItsPlatform) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const pid_t platform = ::fork();
  if (platform == 0) {  // a "platform" that is killed while its child runs
    auto child = Child::Start(Shell("exec sleep 1000"), SystemClock(), logger_, registry_);
    const pid_t pid = child.ok() ? (*child)->pid() : -1;
    (void)!::write(fds[1], &pid, sizeof(pid));
    for (;;) ::pause();
  }
  pid_t grandchild = 0;
  ASSERT_EQ(::read(fds[0], &grandchild, sizeof(grandchild)),
            static_cast<ssize_t>(sizeof(grandchild)));
  ASSERT_GT(grandchild, 0);
  ::kill(platform, SIGKILL);
  ::waitpid(platform, nullptr, 0);
  const auto dead = [&] {  // gone, or a zombie that nobody has reaped yet
    const std::string stat = "/proc/" + std::to_string(grandchild) + "/stat";
    std::error_code code;
    return !std::filesystem::exists(stat, code) ||
           testing::ReadFile(stat).find(") Z ") != std::string::npos;
  };
  EXPECT_TRUE(Eventually(dead));
  ::close(fds[0]);
  ::close(fds[1]);
}

}  // namespace
}  // namespace crossover::platform
