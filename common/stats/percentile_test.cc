#include "common/stats/percentile.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "common/stats/random.h"

namespace crossover::stats {
namespace {

TEST(PercentileTest, IsAnObservedValue) {
  std::vector<double> values(100);
  std::iota(values.begin(), values.end(), 1);
  EXPECT_EQ(Percentile(values, 0.50).point, 50);
  EXPECT_EQ(Percentile(values, 0.90).point, 90);
  EXPECT_EQ(Percentile(values, 0.99).point, 99);
  EXPECT_EQ(Percentile({3, 1, 2}, 0.5).point, 2);
}

TEST(PercentileTest, MedianOfAHundredLiesBetweenThe40thAnd61st) {
  std::vector<double> values(100);
  std::iota(values.begin(), values.end(), 1);
  Interval median = Percentile(values, 0.5);
  EXPECT_EQ(median.lower, 40);
  EXPECT_EQ(median.upper, 61);
}

TEST(PercentileTest, AHundredValuesGiveNoUpperBoundOfTheP99) {
  std::vector<double> values(100, 1.0);
  EXPECT_TRUE(std::isinf(Percentile(values, 0.99).upper));
  EXPECT_TRUE(std::isinf(Percentile({}, 0.5).upper));
}

TEST(PercentileTest, CoversTheTrueQuantile) {
  Random random(11);
  int covered = 0;
  constexpr int kRuns = 1000;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> values(200);
    for (double& value : values) value = random.Uniform();
    covered += Percentile(values, 0.9).Contains(0.9);
  }
  EXPECT_GE(covered, kRuns * 0.94);
}

}  // namespace
}  // namespace crossover::stats
