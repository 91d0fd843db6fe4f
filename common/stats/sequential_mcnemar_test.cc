#include "common/stats/sequential_mcnemar.h"

#include <cmath>

#include <gtest/gtest.h>

#include "common/stats/random.h"

namespace crossover::stats {
namespace {

TEST(SequentialMcNemarTest, StartsAtOneAndIgnoresConcordantPairs) {
  SequentialMcNemar test;
  EXPECT_NEAR(test.LogE(), 0, 1e-12);
  test.Add(true, true);
  test.Add(false, false);
  EXPECT_EQ(test.first_only() + test.second_only(), 0);
  EXPECT_EQ(test.PValue(), 1);
}

// E is a martingale at the null's boundary: the mean of its two continuations is itself.
TEST(SequentialMcNemarTest, IsAMartingaleAtEqualShares) {
  for (int b : {0, 1, 5, 40}) {
    for (int c : {0, 3, 20, 60}) {
      double mean = (std::exp(McNemarLogE(b + 1, c)) + std::exp(McNemarLogE(b, c + 1))) / 2;
      // Above 1/2 only the prior is kept, so the restricted mixture keeps the martingale property
      // exactly.
      EXPECT_NEAR(std::log(mean), McNemarLogE(b, c), 1e-9) << b << " " << c;
    }
  }
}

TEST(SequentialMcNemarTest, NeverFiresForAStrictlyBetterCandidate) {
  for (int c : {50, 100, 1000, 20000}) EXPECT_LT(McNemarLogE(0, c), 0) << c;
  EXPECT_LT(McNemarLogE(10, 5000), 0);
}

TEST(SequentialMcNemarTest, FalseAlarmsStayUnderAlphaWhenEveryPairIsLookedAt) {
  Random random(21);
  int alarms = 0;
  constexpr int kRuns = 1000;
  for (int run = 0; run < kRuns; ++run) {
    SequentialMcNemar test;
    for (int pair = 0; pair < 600 && !test.Rejects(0.05); ++pair) {
      bool first = random.Chance(0.5);
      test.Add(first, !first);
    }
    alarms += test.Rejects(0.05);
  }
  EXPECT_LT(alarms, kRuns * 0.05);
  EXPECT_GT(alarms, 0);
}

TEST(SequentialMcNemarTest, FindsAWorseCandidate) {
  Random random(22);
  SequentialMcNemar test;
  int pairs = 0;
  while (!test.Rejects(0.025) && pairs < 5000) {
    test.Add(random.Chance(0.10), random.Chance(0.04));
    ++pairs;
  }
  EXPECT_LT(pairs, 2000);
}

TEST(SequentialMcNemarTest, RemembersACrossingForGoodAndAcrossJson) {
  SequentialMcNemar test;
  for (int i = 0; i < 20; ++i) test.Add(true, false);
  ASSERT_TRUE(test.Rejects(0.05));
  for (int i = 0; i < 200; ++i) test.Add(false, true);
  EXPECT_LT(test.LogE(), 0);
  auto restored = SequentialMcNemar::FromJson(nlohmann::json::parse(test.ToJson().dump()));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_TRUE(restored->Rejects(0.05));
  EXPECT_EQ(restored->first_only(), 20);
  EXPECT_DOUBLE_EQ(restored->LogE(), test.LogE());
}

TEST(SequentialMcNemarTest, RefusesAStateWithAMemberMissing) {
  EXPECT_FALSE(SequentialMcNemar::FromJson({{"first_only", 1}}).ok());
  EXPECT_FALSE(SequentialMcNemar::FromJson(nlohmann::json::array()).ok());
}

}  // namespace
}  // namespace crossover::stats
