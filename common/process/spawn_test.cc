#include "common/process/spawn.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover {
namespace {

using ::testing::HasSubstr;

TEST(SpawnTest, RunsAProgramWithItsEnvironmentFolderAndOutput) {
  testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const int status,
                       RunToEnd({.argv = {"/bin/sh", "-c", "echo $GREETING; pwd; exit 3"},
                                 .environment = {{{"GREETING", "hello"}}},
                                 .output = dir / "out",
                                 .directory = dir.path()}));
  EXPECT_EQ(DescribeExit(status), "exited with code 3");
  EXPECT_EQ(testing::ReadFile(dir / "out"), "hello\n" + dir.path().string() + "\n");
}

TEST(SpawnTest, MissingProgramIsAnErrorAndNotAnExitCode) {
  EXPECT_THAT(Spawn({.argv = {"/nonexistent/program"}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/program")));
}

TEST(SpawnTest, UnknownUserIsNamed) {
  EXPECT_THAT(Spawn({.argv = {"/bin/true"}, .user = "no-such-user"}),
              HasReasonThat("USER_NOT_FOUND"));
}

TEST(SpawnTest, ASignalledEndIsDescribed) {
  ASSERT_OK_AND_ASSIGN(const pid_t pid, Spawn({.argv = {"/bin/sleep", "100"}}));
  ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(DescribeExit(status), "killed by signal 9 (Killed)");
}

TEST(SpawnTest, RunsAsAnotherUserWhenRoot) {
  if (::getuid() != 0) {
    EXPECT_THAT(Spawn({.argv = {"/bin/true"}, .user = "root"}),
                StatusIs(absl::StatusCode::kUnavailable));
    return;
  }
  testing::TempDir dir;
  ASSERT_OK(RunToEnd({.argv = {"/usr/bin/id", "-un"}, .user = "nobody", .output = dir / "out"}));
  EXPECT_EQ(testing::ReadFile(dir / "out"), "nobody\n");
}

}  // namespace
}  // namespace crossover
