#include "common/stats/quantile_sequence.h"

#include <cmath>

#include <gtest/gtest.h>

#include "common/stats/random.h"

namespace crossover::stats {
namespace {

double Latency(Random& random, double scale) { return scale * std::exp(random.Uniform() - 0.5); }

TEST(QuantileSequenceTest, PointIsWithinOnePerCentOfTheQuantile) {
  QuantileSequence sequence({.p = 0.9});
  for (int i = 1; i <= 1000; ++i) sequence.Add(i / 1000.0);
  EXPECT_NEAR(sequence.Current().point, 0.9, 0.01);
}

TEST(QuantileSequenceTest, NothingAndLittleSeenGiveOpenBounds) {
  QuantileSequence sequence({.p = 0.99});
  EXPECT_TRUE(std::isinf(sequence.Current().upper));
  sequence.Add(1);
  EXPECT_EQ(sequence.Current().lower, 0);
  EXPECT_TRUE(std::isinf(sequence.Current().upper));
}

TEST(QuantileSequenceTest, MissesTheQuantileInFewerThanAlphaOfTheRuns) {
  Random random(71);
  int missed = 0;
  constexpr int kRuns = 200;
  for (int run = 0; run < kRuns; ++run) {
    QuantileSequence sequence({.p = 0.5});
    bool ever = false;
    for (int i = 0; i < 1000; ++i) {
      sequence.Add(Latency(random, 1));
      ever = ever || (i % 10 == 0 && !sequence.Current().Contains(1.0));
    }
    missed += ever;
  }
  EXPECT_LE(missed, kRuns * 0.05);
}

TEST(QuantileSequenceTest, FindsASlowerCandidateAndClearsAnEqualOne) {
  Random random(72);
  QuantileSequence baseline, equal, slower;
  for (int i = 0; i < 3000; ++i) {
    baseline.Add(Latency(random, 1));
    equal.Add(Latency(random, 1));
    slower.Add(Latency(random, 1.5));
  }
  EXPECT_FALSE(IsSlower(equal, baseline, 0));
  EXPECT_TRUE(IsSlower(slower, baseline, 0.1));
  EXPECT_FALSE(IsSlower(slower, baseline, 0.5));
}

TEST(QuantileSequenceTest, StateStaysBoundedForAbsurdValues) {
  QuantileSequence sequence;
  for (double value : {0.0, -1.0, 1e300, 1e-300}) sequence.Add(value);
  EXPECT_EQ(sequence.n(), 4);
  EXPECT_LE(sequence.ToJson()["bins"].size(), 2u);
}

TEST(QuantileSequenceTest, GoesOnFromItsJson) {
  Random random(73);
  QuantileSequence sequence({.p = 0.9, .alpha = 0.01});
  for (int i = 0; i < 400; ++i) sequence.Add(Latency(random, 0.3));
  auto restored = QuantileSequence::FromJson(nlohmann::json::parse(sequence.ToJson().dump()));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->Current(), sequence.Current());
  EXPECT_FALSE(
      QuantileSequence::FromJson({{"p", 0.5}, {"alpha", 0.05}, {"bins", {{"x", 1}}}}).ok());
}

}  // namespace
}  // namespace crossover::stats
