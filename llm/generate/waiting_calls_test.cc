#include "llm/generate/waiting_calls.h"

#include <gtest/gtest.h>

#include <utility>

#include "common/status/error.h"

namespace crossover::llm {
namespace {

using Stays = std::vector<WaitingCalls::Stay>;

class WaitingCallsTest : public testing::Test {
 protected:
  // Keeps what is let in.
  bool Enter(const std::string& caller, uint64_t call = 0, size_t sequences = 1) {
    absl::StatusOr<Stays> stays = waiting_.Enter(caller, call, sequences);
    if (!stays.ok()) {
      EXPECT_EQ(DetailOf(stays.status()).reason, "QUEUE_FULL");
      return false;
    }
    EXPECT_EQ(stays->size(), sequences);
    stays_.push_back(*std::move(stays));
    return true;
  }

  WaitingCalls waiting_{4};
  std::vector<Stays> stays_;
};

TEST_F(WaitingCallsTest, ACallOfManySequencesIsLetInAndCountsOnce) {
  EXPECT_TRUE(Enter("a", 0, 1000));
  EXPECT_EQ(waiting_.calls(), 1);
}

TEST_F(WaitingCallsTest, CallsCountUntilTheLastOfThemIsComputed) {
  EXPECT_TRUE(Enter("a", 0, 2));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Enter("a"));
  EXPECT_FALSE(Enter("a"));
  stays_[0][0].EndWaiting();
  stays_[0][0].EndWaiting();
  EXPECT_FALSE(Enter("a"));
  stays_[0][1].EndWaiting();
  EXPECT_EQ(waiting_.calls(), 3);
  EXPECT_TRUE(Enter("a"));
  stays_.clear();
  EXPECT_EQ(waiting_.calls(), 0);
}

TEST_F(WaitingCallsTest, WhatFollowsInACallIsLetInThoughAllElseIsRefused) {
  EXPECT_TRUE(Enter("a", 7));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Enter("a"));
  EXPECT_TRUE(Enter("a", 7));
  EXPECT_FALSE(Enter("a", 8));
  EXPECT_EQ(waiting_.calls(), 4);
  // Also while nothing of it waits any more.
  stays_[0][0].EndWaiting();
  stays_.back()[0].EndWaiting();
  EXPECT_TRUE(Enter("a"));
  EXPECT_TRUE(Enter("a", 7));
  EXPECT_EQ(waiting_.calls(), 5);
}

TEST_F(WaitingCallsTest, ACallThatHasEndedIsForgotten) {
  EXPECT_TRUE(Enter("a", 7));
  stays_.clear();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Enter("a"));
  EXPECT_FALSE(Enter("a", 7));
}

TEST_F(WaitingCallsTest, NumbersAreTheCallers) {
  EXPECT_TRUE(Enter("a", 7));
  EXPECT_TRUE(Enter("b", 7));
  EXPECT_TRUE(Enter("a", 7));
  EXPECT_EQ(waiting_.calls(), 2);
}

TEST_F(WaitingCallsTest, SequencesHaveABoundOfTheirOwn) {
  EXPECT_TRUE(Enter("a", 0, 40));
  EXPECT_TRUE(Enter("a", 0, 40));
  EXPECT_FALSE(Enter("a"));
  stays_.pop_back();
  EXPECT_TRUE(Enter("a"));
}

TEST_F(WaitingCallsTest, OverTheBoundEveryCallerStillGetsItsShare) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Enter("a"));
  EXPECT_FALSE(Enter("a"));
  // Of two: two each.
  EXPECT_TRUE(Enter("b"));
  EXPECT_TRUE(Enter("b"));
  EXPECT_FALSE(Enter("b"));
  // Of three and of four: one each.
  EXPECT_TRUE(Enter("c"));
  EXPECT_FALSE(Enter("c"));
  EXPECT_TRUE(Enter("d"));
  // Where there are more callers than places, nobody has a share.
  EXPECT_FALSE(Enter("e"));
  EXPECT_EQ(waiting_.calls(), 8);
}

TEST_F(WaitingCallsTest, CallersOfWhomNothingWaitsTakeNoShare) {
  EXPECT_TRUE(Enter("x"));
  EXPECT_TRUE(Enter("y"));
  stays_[0][0].EndWaiting();  // x is being computed, y has ended.
  stays_.pop_back();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Enter("a"));
  EXPECT_TRUE(Enter("b"));
  EXPECT_TRUE(Enter("b"));
  EXPECT_FALSE(Enter("b"));
}

TEST_F(WaitingCallsTest, SequencesAreSharedToo) {
  EXPECT_TRUE(Enter("a", 0, 100));
  EXPECT_FALSE(Enter("a"));
  EXPECT_TRUE(Enter("b", 0, 100));
  EXPECT_FALSE(Enter("b"));
  EXPECT_TRUE(Enter("c"));
}

TEST_F(WaitingCallsTest, AStayThatWasMovedEndsOnce) {
  EXPECT_TRUE(Enter("a"));
  WaitingCalls::Stay stay = std::move(stays_[0][0]);
  stays_.clear();
  EXPECT_EQ(waiting_.calls(), 1);
  stay = {};
  EXPECT_EQ(waiting_.calls(), 0);
}

}  // namespace
}  // namespace crossover::llm
