#include "services/training_scheduler/domain/state_machine.h"

#include <gtest/gtest.h>

namespace crossover::scheduler {
namespace {

using enum JobState;

TEST(StateMachineTest, NoStateIsBothLeasedAndTerminal) {
  for (int i = 0; i <= static_cast<int>(kCancelled); ++i) {
    const auto state = static_cast<JobState>(i);
    EXPECT_FALSE(IsLeased(state) && IsTerminal(state)) << Name(state);
  }
}

TEST(StateMachineTest, OnlyQueuedJobsGetALease) {
  for (const Move& move : AllMoves()) {
    if (IsLeased(move.to) && !IsLeased(move.from)) {
      EXPECT_EQ(move.from, kQueued) << Name(move.to);
      EXPECT_EQ(move.to, kRunning);
    }
  }
}

TEST(StateMachineTest, SucceededIsForEverAndOtherEndsAreLeftByRetryAlone) {
  for (const Move& move : AllMoves()) {
    EXPECT_NE(move.from, kSucceeded);
    if (IsTerminal(move.from)) {
      EXPECT_EQ(move.by, "Retry");
    }
  }
}

TEST(StateMachineTest, MovesOutsideTheTableAreRefused) {
  EXPECT_FALSE(MayMove(kQueued, kSucceeded));
  EXPECT_FALSE(MayMove(kPausing, kQueued));
  EXPECT_FALSE(MayMove(kCancelling, kRunning));
  EXPECT_TRUE(MayMove(kRunning, kBlocked));
}

TEST(StateMachineTest, NamesOfStatesCanBeReadBack) {
  for (int i = 0; i <= static_cast<int>(kCancelled); ++i) {
    const auto state = static_cast<JobState>(i);
    EXPECT_EQ(ParseJobState(Name(state)), state);
  }
}

}  // namespace
}  // namespace crossover::scheduler
