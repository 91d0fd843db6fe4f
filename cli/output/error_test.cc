#include "cli/output/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(AdviceTest, AFullDiskIsFoundByWhatTheServerWasStartedWith) {
  const std::string advice = AdviceFor("DISK_FULL", "tune");
  EXPECT_THAT(advice, HasSubstr("--data or CROSSOVER_DATA"));
  // It shows services, jobs and workers; no command shows the server's folders.
  EXPECT_THAT(advice, Not(HasSubstr("crossover status")));
}

TEST(AdviceTest, AKeyCanStandInAFile) {
  for (const char* reason : {"API_KEY_MISSING", "API_KEY_INVALID"})
    EXPECT_THAT(AdviceFor(reason, "tune"), HasSubstr("CROSSOVER_API_KEY_FILE")) << reason;
}

TEST(AdviceTest, ANewReasonHasNone) { EXPECT_EQ(AdviceFor("NO_SUCH_REASON", "tune"), ""); }

}  // namespace
}  // namespace crossover::cli
