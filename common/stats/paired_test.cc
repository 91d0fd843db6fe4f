#include "common/stats/paired.h"

#include <cmath>

#include <gtest/gtest.h>

#include "common/stats/proportion.h"
#include "common/stats/random.h"

namespace crossover::stats {
namespace {

TEST(PairedTest, UnclusteredErrorIsTheStandardErrorOfTheMean) {
  // sd of {0,0,1,1,1} with n-1 is 0.5477; over sqrt(5).
  EXPECT_NEAR(ClusteredStandardError({0, 0, 1, 1, 1}, {}), 0.244949, 1e-6);
}

TEST(PairedTest, CopiesWithinAClusterAddNothing) {
  std::vector<double> values = {0, 0.4, 1, 0.7};
  std::vector<double> tripled;
  std::vector<std::string> clusters;
  for (size_t i = 0; i < values.size(); ++i) {
    for (int copy = 0; copy < 3; ++copy) {
      tripled.push_back(values[i]);
      clusters.push_back("c" + std::to_string(i));
    }
  }
  EXPECT_NEAR(ClusteredStandardError(tripled, clusters), ClusteredStandardError(values, {}), 1e-12);
  EXPECT_LT(ClusteredStandardError(tripled, {}), ClusteredStandardError(values, {}));
}

TEST(PairedTest, RightAndWrongTakeWilsonAndNewcombe) {
  EXPECT_EQ(MeanScore({1, 0, 1, 1}), Wilson(3, 4));
  EXPECT_EQ(PairedDifference({1, 1, 0, 1}, {1, 0, 0, 1}),
            NewcombePaired({.both_right = 2, .only_first = 1, .both_wrong = 1}));
}

TEST(PairedTest, PartialScoresAndClustersTakeTheClusteredInterval) {
  EXPECT_EQ(MeanScore({1, 0.5, 1, 0}).method, "clustered_t");
  Interval difference = PairedDifference({1, 1, 0, 1}, {1, 0, 0, 1}, {"a", "a", "b", "c"});
  EXPECT_EQ(difference.method, "clustered_t");
  EXPECT_EQ(difference.n, 4);
  EXPECT_EQ(difference.clusters, 3);
}

TEST(PairedTest, ClustersOfOneAreNoClusters) {
  EXPECT_EQ(PairedDifference({1, 1, 0, 1}, {1, 0, 0, 1}, {"a", "b", "c", "d"}).method,
            "newcombe_paired");
}

TEST(PairedTest, OneClusterGivesNoBounds) {
  Interval interval = MeanInterval({1, 2, 3}, {"a", "a", "a"});
  EXPECT_EQ(interval.point, 2);
  EXPECT_TRUE(std::isinf(interval.lower));
}

TEST(PairedTest, EqualPartialScoresOnFewRowsAreNoProofOfEquality) {
  std::vector<double> scores(30, 0.5);
  EXPECT_FALSE(IsEquivalent(PairedDifference(scores, scores), 0.02));
  std::vector<double> many(300, 0.5);
  EXPECT_TRUE(IsEquivalent(PairedDifference(many, many), 0.02));
}

// A true null with strong clusters: the naive interval excludes zero far too often, the clustered
// one keeps its level.
TEST(PairedTest, ClusteredIntervalKeepsItsLevelWhereTheNaiveOneDoesNot) {
  Random random(7);
  int naive = 0, clustered = 0;
  constexpr int kRuns = 600;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> values;
    std::vector<std::string> clusters;
    for (int cluster = 0; cluster < 30; ++cluster) {
      double effect = random.Uniform() - 0.5;
      for (int i = 0; i < 10; ++i) {
        values.push_back(effect + 0.2 * (random.Uniform() - 0.5));
        clusters.push_back(std::to_string(cluster));
      }
    }
    naive += ExcludesZero(MeanInterval(values));
    clustered += ExcludesZero(MeanInterval(values, clusters));
  }
  EXPECT_GT(naive, kRuns * 0.40);
  EXPECT_NEAR(clustered, kRuns * 0.05, kRuns * 0.025);
}

}  // namespace
}  // namespace crossover::stats
