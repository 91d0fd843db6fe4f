#include "llm/generate/prompt_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(LookupTest, WhatFollowedTheSameEndingIsGuessed) {
  EXPECT_THAT(Lookup(std::vector<int32_t>{1, 2, 3, 4, 5, 9, 1, 2}, 3), ElementsAre(3, 4, 5));
  EXPECT_THAT(Lookup(std::vector<int32_t>{1, 2, 3, 9, 1, 2}, 9), ElementsAre(3, 9, 1, 2));
}

TEST(LookupTest, TheLongestEndingWinsThenTheLastOccurrence) {
  EXPECT_THAT(Lookup(std::vector<int32_t>{7, 1, 2, 3, 8, 1, 2, 4, 9, 7, 1, 2}, 1), ElementsAre(3));
  EXPECT_THAT(Lookup(std::vector<int32_t>{1, 2, 3, 8, 1, 2, 4, 9, 1, 2}, 1), ElementsAre(4));
}

TEST(LookupTest, ACycleGuessesItself) {
  EXPECT_THAT(Lookup(std::vector<int32_t>{1, 1, 1, 1, 1}, 2), ElementsAre(1));
  EXPECT_THAT(Lookup(std::vector<int32_t>{1, 2, 3, 1, 2, 3, 1, 2}, 2), ElementsAre(3, 1));
}

TEST(LookupTest, OneTokenAloneIsNoEnding) {
  EXPECT_THAT(Lookup(std::vector<int32_t>{1, 2, 1, 3, 1}, 3), IsEmpty());
  EXPECT_THAT(Lookup(std::vector<int32_t>{}, 3), IsEmpty());
  EXPECT_THAT(Lookup(std::vector<int32_t>{4}, 3), IsEmpty());
}

TEST(DraftLengthTest, RightGuessesGrowItAndWrongOnesStopItForAWhile) {
  DraftLength length;
  EXPECT_EQ(length.Next(8), 2);
  length.Learn(2, 2);
  EXPECT_EQ(length.Next(8), 4);
  EXPECT_EQ(length.Next(3), 3);
  length.Learn(4, 2);
  EXPECT_EQ(length.Next(8), 3);
  length.Learn(3, 0);
  EXPECT_EQ(length.Next(8), 1);
  length.Learn(1, 0);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(length.Next(8), 0) << i;
  EXPECT_EQ(length.Next(8), 1);
}

}  // namespace
}  // namespace crossover::llm
