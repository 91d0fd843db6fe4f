// The main() of test programs, by running this one again as a child.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "common/process/spawn.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::testing {
namespace {

using ::testing::HasSubstr;

void Make(std::unique_ptr<int>& number) {
  ASSERT_TRUE(number != nullptr) << "it could not be made";
  *number = 1;
}

TEST(TestMainTest, DISABLED_AHelperFails) {
  std::unique_ptr<int> number;
  Make(number);
  *number = 2;
}

TEST(TestMainTest, DISABLED_AThreadFails) {
  std::thread([] { ASSERT_TRUE(false) << "in a thread"; }).join();
  std::puts("went on");
}

// What this program says when it runs that test.
std::string OutputOf(const std::string& test) {
  TempDir dir;
  const auto ended =
      RunToEnd({.argv = {std::filesystem::read_symlink("/proc/self/exe").string(),
                         "--gtest_also_run_disabled_tests", "--gtest_filter=TestMainTest." + test},
                .output = dir / "output"});
  EXPECT_OK(ended);
  EXPECT_EQ(DescribeExit(*ended), "exited with code 1");
  return ReadFile(dir / "output");
}

TEST(TestMainTest, AnAssertionThatFailsInAHelperEndsTheTest) {
  EXPECT_THAT(OutputOf("DISABLED_AHelperFails"), HasSubstr("it could not be made"));
}

TEST(TestMainTest, OneThatFailsInAThreadEndsThatAlone) {
  const std::string output = OutputOf("DISABLED_AThreadFails");
  EXPECT_THAT(output, HasSubstr("in a thread"));
  EXPECT_THAT(output, HasSubstr("went on"));
}

}  // namespace
}  // namespace crossover::testing
