#include "common/stats/bernstein_sequence.h"

#include <cmath>

#include <gtest/gtest.h>

#include "common/stats/random.h"

namespace crossover::stats {
namespace {

TEST(BernsteinSequenceTest, ThreeValuesByHand) {
  BernsteinSequence sequence;
  double m_before = 0.5, v_before = 0.25, sum = 0, squares = 0, weights = 0, weighted = 0,
         penalty = 0;
  double values[] = {1, 0, 1};
  for (int t = 1; t <= 3; ++t) {
    double y = values[t - 1];
    sequence.Add(y);
    double lambda =
        std::min(0.5, std::sqrt(2 * std::log(40.0) / (v_before * t * std::log(1.0 + t))));
    weights += lambda;
    weighted += lambda * y;
    penalty += (-std::log(1 - lambda) - lambda) * (y - m_before) * (y - m_before);
    sum += y;
    m_before = (0.5 + sum) / (t + 1);
    squares += (y - m_before) * (y - m_before);
    v_before = (0.25 + squares) / (t + 1);
  }
  Interval interval = sequence.Current();
  double half = (std::log(40.0) + penalty) / weights;
  EXPECT_EQ(interval.lower, std::max(0.0, weighted / weights - half));
  EXPECT_EQ(interval.upper, std::min(1.0, weighted / weights + half));
  EXPECT_TRUE(interval.anytime_valid);
}

TEST(BernsteinSequenceTest, NothingSeenIsTheWholeRange) {
  BernsteinSequence sequence({.minimum = -1, .maximum = 1});
  EXPECT_EQ(sequence.Current().lower, -1);
  EXPECT_EQ(sequence.Current().upper, 1);
}

TEST(BernsteinSequenceTest, MissesTheMeanInFewerThanAlphaOfTheRuns) {
  Random random(31);
  int missed = 0;
  constexpr int kRuns = 400;
  for (int run = 0; run < kRuns; ++run) {
    BernsteinSequence sequence;
    bool ever = false;
    for (int i = 0; i < 1500; ++i) {
      sequence.Add(random.Chance(0.1) ? 1 : 0);
      ever = ever || !sequence.Current().Contains(0.1);
    }
    missed += ever;
  }
  EXPECT_LE(missed, kRuns * 0.05);
}

TEST(BernsteinSequenceTest, NarrowsWithLowVariance) {
  BernsteinSequence steady, noisy;
  for (int i = 0; i < 2000; ++i) {
    steady.Add(0.5 + (i % 2 ? 0.01 : -0.01));
    noisy.Add(i % 2);
  }
  EXPECT_LT(steady.Current().upper - steady.Current().lower, 0.02);
  EXPECT_GT(noisy.Current().upper - noisy.Current().lower, 0.05);
}

TEST(BernsteinSequenceTest, RunningIntersectionNeverWidens) {
  Random random(32);
  BernsteinSequence sequence;
  double width = 1;
  for (int i = 0; i < 500; ++i) {
    sequence.Add(random.Uniform());
    Interval interval = sequence.Running();
    EXPECT_LE(interval.upper - interval.lower, width);
    width = interval.upper - interval.lower;
  }
}

TEST(BernsteinSequenceTest, GoesOnFromItsJson) {
  Random random(33);
  BernsteinSequence whole({.alpha = 0.1, .minimum = -2, .maximum = 3});
  BernsteinSequence half = whole;
  for (int i = 0; i < 100; ++i) {
    double value = random.Uniform();
    whole.Add(value);
    if (i == 50) {
      auto restored = BernsteinSequence::FromJson(nlohmann::json::parse(half.ToJson().dump()));
      ASSERT_TRUE(restored.ok()) << restored.status();
      half = *restored;
    }
    half.Add(value);
  }
  EXPECT_EQ(half.Current(), whole.Current());
}

}  // namespace
}  // namespace crossover::stats
