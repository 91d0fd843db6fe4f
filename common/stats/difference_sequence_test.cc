#include "common/stats/difference_sequence.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "common/stats/random.h"

namespace crossover::stats {
namespace {

constexpr double kMargin = 0.02;

struct Outcome {
  SequentialVerdict verdict;
  int pairs;
};

// Right or wrong answers of both, drawn independently.
Outcome RunLosses(Random& random, double candidate_wrong, double primary_wrong, int limit) {
  DifferenceSequence sequence;
  for (int pair = 1; pair <= limit; ++pair) {
    sequence.AddLosses(random.Chance(candidate_wrong), random.Chance(primary_wrong));
    SequentialVerdict verdict = sequence.Verdict(kMargin);
    if (verdict != SequentialVerdict::kContinue) return {verdict, pair};
  }
  return {SequentialVerdict::kContinue, limit};
}

TEST(DifferenceSequenceTest, PromotesABetterModelEveryTime) {
  Random random(41);
  std::vector<int> pairs;
  for (int run = 0; run < 100; ++run) {
    Outcome outcome = RunLosses(random, 0.09, 0.17, 5000);
    EXPECT_EQ(outcome.verdict, SequentialVerdict::kPromote);
    pairs.push_back(outcome.pairs);
  }
  std::sort(pairs.begin(), pairs.end());
  EXPECT_LT(pairs[50], 700);
}

TEST(DifferenceSequenceTest, RollsBackAWorseModelEveryTime) {
  Random random(42);
  for (int run = 0; run < 50; ++run) {
    EXPECT_EQ(RunLosses(random, 0.30, 0.10, 5000).verdict, SequentialVerdict::kRollBack);
  }
}

TEST(DifferenceSequenceTest, HardlyEverPromotesAModelWorseByTheMargin) {
  Random random(43);
  int promoted = 0;
  for (int run = 0; run < 200; ++run) {
    promoted += RunLosses(random, 0.10, 0.08, 2000).verdict == SequentialVerdict::kPromote;
  }
  EXPECT_LE(promoted, 5);
}

TEST(DifferenceSequenceTest, SubtractsThePrimarysOwnNoise) {
  Random random(44);
  DifferenceSequence sequence;
  // The primary disagrees with itself on 20 % of requests; the candidate does not disagree more
  // than that.
  for (int i = 0; i < 6000; ++i) sequence.AddDifferences(random.Chance(0.2), random.Chance(0.2));
  EXPECT_TRUE(sequence.Theta().Contains(0));
  EXPECT_LT(sequence.Theta().upper, 0.05);
}

TEST(DifferenceSequenceTest, HarmTestFiresBeforeTheIntervalDoes) {
  DifferenceSequence sequence;
  int i = 0;
  while (sequence.Verdict(kMargin, 0.005) != SequentialVerdict::kRollBack && i < 1000) {
    sequence.AddLosses(i % 10 == 0 ? 1 : 0, 0);
    ++i;
  }
  EXPECT_LT(i, 200);
  EXPECT_EQ(sequence.Verdict(kMargin), SequentialVerdict::kContinue);
}

TEST(DifferenceSequenceTest, NoPairsIsNotEnoughEvidence) {
  EXPECT_EQ(DifferenceSequence().Verdict(2.0), SequentialVerdict::kContinue);
}

TEST(DifferenceSequenceTest, PartialLossesMoveTheIntervalButNotMcNemar) {
  DifferenceSequence sequence;
  sequence.AddLosses(0.5, 0);
  EXPECT_EQ(sequence.harm().first_only(), 0);
  EXPECT_EQ(sequence.n(), 1);
}

TEST(DifferenceSequenceTest, GoesOnFromItsJson) {
  DifferenceSequence sequence;
  for (int i = 0; i < 40; ++i) sequence.AddLosses(i % 3 == 0, i % 5 == 0);
  auto restored = DifferenceSequence::FromJson(nlohmann::json::parse(sequence.ToJson().dump()));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->Theta(), sequence.Theta());
  EXPECT_EQ(restored->harm().first_only(), sequence.harm().first_only());
  EXPECT_EQ(restored->gain().first_only(), sequence.gain().first_only());
  EXPECT_FALSE(DifferenceSequence::FromJson(nlohmann::json::object()).ok());
}

}  // namespace
}  // namespace crossover::stats
