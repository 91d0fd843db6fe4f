#include "common/stats/bootstrap.h"

#include <cmath>

#include <gtest/gtest.h>

#include "common/stats/paired.h"
#include "common/stats/random.h"

namespace crossover::stats {
namespace {

std::vector<double> Draws(int count, uint64_t seed) {
  Random random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = random.Uniform();
  return values;
}

TEST(BootstrapTest, EqualSeedsGiveEqualBounds) {
  std::vector<double> values = Draws(50, 3);
  EXPECT_EQ(BootstrapMean(values), BootstrapMean(values));
  EXPECT_NE(BootstrapMean(values).lower, BootstrapMean(values, {}, {.seed = 2}).lower);
}

TEST(BootstrapTest, AgreesWithTheNormalIntervalOnManyValues) {
  std::vector<double> values = Draws(400, 4);
  Interval bootstrap = BootstrapMean(values);
  Interval normal = MeanInterval(values);
  EXPECT_NEAR(bootstrap.lower, normal.lower, 0.003);
  EXPECT_NEAR(bootstrap.upper, normal.upper, 0.003);
}

TEST(BootstrapTest, ResamplesWholeClusters) {
  std::vector<double> values;
  std::vector<std::string> clusters;
  std::vector<double> draws = Draws(40, 5);
  for (size_t i = 0; i < draws.size(); ++i) {
    for (int copy = 0; copy < 5; ++copy) {
      values.push_back(draws[i]);
      clusters.push_back(std::to_string(i));
    }
  }
  Interval clustered = BootstrapMean(values, clusters);
  Interval single = BootstrapMean(draws);
  EXPECT_NEAR(clustered.lower, single.lower, 1e-12);
  EXPECT_EQ(clustered.n, 200);
  EXPECT_EQ(clustered.clusters, 40);
}

TEST(BootstrapTest, BcaMovesTheIntervalTowardsTheLongTail) {
  std::vector<double> values = Draws(40, 6);
  for (double& value : values) value = std::pow(value, 6);
  Interval percentile = BootstrapMean(values);
  Interval bca = BootstrapMean(values, {}, {.bca = true});
  EXPECT_GT(bca.lower, percentile.lower);
  EXPECT_GT(bca.upper, percentile.upper);
}

TEST(BootstrapTest, EqualValuesGiveAnIntervalOfNoWidthAndNoNaN) {
  Interval bca = BootstrapMean(std::vector<double>(20, 0.25), {}, {.bca = true});
  EXPECT_DOUBLE_EQ(bca.lower, 0.25);
  EXPECT_DOUBLE_EQ(bca.upper, 0.25);
}

TEST(BootstrapTest, NothingToResampleGivesInfiniteBounds) {
  EXPECT_TRUE(std::isinf(BootstrapMean({}).upper));
  EXPECT_TRUE(std::isinf(BootstrapMean({1.0}).upper));
}

TEST(BootstrapTest, CoversTheTrueMean) {
  int covered = 0;
  constexpr int kRuns = 200;
  for (int run = 0; run < kRuns; ++run) {
    covered += BootstrapMean(Draws(60, 100 + run), {}, {.resamples = 1000}).Contains(0.5);
  }
  EXPECT_GT(covered, kRuns * 0.89);
}

}  // namespace
}  // namespace crossover::stats
