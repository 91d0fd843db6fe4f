#include "common/stats/asymptotic_sequence.h"

#include <gtest/gtest.h>

#include "common/stats/random.h"

namespace crossover::stats {
namespace {

TEST(AsymptoticSequenceTest, SaysNothingBefore500ValuesOf50NotZero) {
  AsymptoticSequence few, rare;
  for (int i = 0; i < 499; ++i) few.Add(i);
  EXPECT_FALSE(few.Current().has_value());
  few.Add(1);
  EXPECT_TRUE(few.Current().has_value());
  for (int i = 0; i < 5000; ++i) rare.Add(i % 200 == 0 ? 1 : 0);
  EXPECT_FALSE(rare.Current().has_value());
}

TEST(AsymptoticSequenceTest, MissesTheMeanInFewerThanAlphaOfTheRuns) {
  Random random(61);
  int missed = 0;
  constexpr int kRuns = 300;
  for (int run = 0; run < kRuns; ++run) {
    AsymptoticSequence sequence;
    bool ever = false;
    for (int i = 0; i < 4000; ++i) {
      double u = random.Uniform();
      sequence.Add(u * u * u);  // skewed, mean 1/4
      auto interval = i % 20 == 0 ? sequence.Current() : std::nullopt;
      ever = ever || (interval && !interval->Contains(0.25));
    }
    missed += ever;
  }
  EXPECT_LE(missed, kRuns * 0.05);
}

TEST(AsymptoticSequenceTest, GoesOnFromItsJson) {
  Random random(62);
  AsymptoticSequence sequence({.alpha = 0.02, .n_opt = 700});
  for (int i = 0; i < 600; ++i) sequence.Add(random.Uniform());
  auto restored = AsymptoticSequence::FromJson(nlohmann::json::parse(sequence.ToJson().dump()));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(*restored->Current(), *sequence.Current());
}

}  // namespace
}  // namespace crossover::stats
