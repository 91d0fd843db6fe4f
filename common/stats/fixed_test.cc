// Published vectors and properties of the fixed-n statistics.
#include <cmath>

#include <gtest/gtest.h>

#include "common/stats/interval.h"
#include "common/stats/mcnemar.h"
#include "common/stats/multiple.h"
#include "common/stats/power.h"
#include "common/stats/proportion.h"
#include "common/stats/random.h"
#include "common/stats/special.h"

namespace crossover::stats {
namespace {

TEST(WilsonTest, EqualsThePublishedVector) {
  Interval interval = Wilson(81, 263);
  EXPECT_NEAR(interval.lower, 0.2553, 5e-5);
  EXPECT_NEAR(interval.upper, 0.3662, 5e-5);
  EXPECT_EQ(interval.n, 263);
}

TEST(WilsonTest, KeepsItsWidthAtTheEnds) {
  EXPECT_EQ(Wilson(0, 20).lower, 0);
  EXPECT_NEAR(Wilson(0, 20).upper, 0.1611, 5e-5);
  EXPECT_EQ(Wilson(20, 20).upper, 1);
  EXPECT_EQ(Wilson(0, 0).lower, 0);
  EXPECT_EQ(Wilson(0, 0).upper, 1);
}

TEST(NewcombeTest, PairedEqualsTheExampleOfNewcombe1998) {
  // Table III of Statistics in Medicine 17:2635, cells 36, 12, 2, 0: method 10 gives 0.2000
  // (0.0569, 0.3404).
  Interval interval =
      NewcombePaired({.both_right = 36, .only_first = 12, .only_second = 2, .both_wrong = 0});
  EXPECT_NEAR(interval.point, 0.2, 1e-12);
  EXPECT_NEAR(interval.lower, 0.0569, 5e-5);
  EXPECT_NEAR(interval.upper, 0.3404, 5e-5);
}

TEST(NewcombeTest, IndependentEqualsTheExampleOfNewcombe1998) {
  // 56/70 against 48/80: method 10 gives 0.0524 to 0.3339.
  Interval interval = NewcombeIndependent(56, 70, 48, 80);
  EXPECT_NEAR(interval.lower, 0.0524, 5e-5);
  EXPECT_NEAR(interval.upper, 0.3339, 5e-5);
}

TEST(NewcombeTest, NoDiscordantPairIsNoProofOfEquality) {
  EXPECT_FALSE(IsEquivalent(NewcombePaired({.both_right = 15, .both_wrong = 15}), 0.02));
  EXPECT_TRUE(IsEquivalent(NewcombePaired({.both_right = 500, .both_wrong = 500}), 0.02));
}

// R: 2 * pt(-2.5, 9) and 2 * pt(-1.96, 1e6).
TEST(StudentTest, TwoSidedP) {
  EXPECT_NEAR(StudentTwoSidedP(2.5, 9), 0.033861, 1e-5);
  EXPECT_NEAR(StudentTwoSidedP(-1.959964, 1e6), 0.05, 1e-5);
  EXPECT_EQ(StudentTwoSidedP(3, 0), 1) << "one cluster says nothing";
}

TEST(McNemarTest, EqualsThePublishedVector) {
  McNemar test = McNemarTest(5, 15);
  EXPECT_NEAR(test.exact_p, 0.0414, 5e-5);
  EXPECT_NEAR(test.mid_p, 0.0266, 5e-5);
  EXPECT_DOUBLE_EQ(test.chi_squared_corrected, 4.05);
  EXPECT_NEAR(test.chi_squared_p, 0.0442, 5e-5);
}

TEST(McNemarTest, AClusterCountsOnce) {
  // 20 rows of 4 clusters, all better: 20 coin tosses would be p = 2e-6, 4 are 0.125.
  std::vector<double> differences(20, 1);
  std::vector<std::string> clusters;
  for (int i = 0; i < 20; ++i) clusters.push_back(std::to_string(i % 4));
  EXPECT_NEAR(ClusterSignTest(differences, clusters).exact_p, 0.125, 1e-12);
  EXPECT_EQ(ClusterSignTest(differences, clusters).c, 4);
  EXPECT_EQ(ClusterSignTest(differences, {}).c, 20);
  EXPECT_EQ(ClusterSignTest({1, -1, 0}, {"a", "a", "b"}).exact_p, 1) << "balanced";
}

TEST(McNemarTest, SaysNothingWithoutDiscordantPairs) {
  EXPECT_EQ(McNemarTest(0, 0).exact_p, 1);
  EXPECT_EQ(McNemarTest(7, 7).exact_p, 1);
  EXPECT_NEAR(McNemarTest(1, 1).mid_p, 0.75, 1e-12);
}

TEST(PowerTest, EqualsThePublishedVectors) {
  EXPECT_EQ(PairedSampleSize(0.03, 0.10), 864);
  EXPECT_EQ(PairedSampleSize(0.03, 0.20), 1736);
  EXPECT_EQ(UnpairedSampleSize(0.03, 0.85), 2224);
  EXPECT_NEAR(PairedSampleSize(0.08, 0.20), 240, 5);
}

TEST(PowerTest, RepeatsOfARowLowerOnlyTheNoiseOfItsAnswers) {
  PairedVariance once{.omega = 0.05, .sigma_a = 0.05, .sigma_b = 0.05};
  PairedVariance five = once;
  five.repeats_a = five.repeats_b = 5;
  EXPECT_NEAR(once.total(), 0.15, 1e-12);
  EXPECT_NEAR(five.total(), 0.07, 1e-12);
}

TEST(PowerTest, DetectableDifferenceIsTheInverseOfTheSampleSize) {
  EXPECT_NEAR(DetectableDifference(PairedSampleSize(0.03, 0.10), 0.10), 0.03, 1e-4);
  EXPECT_EQ(DetectableDifference(0, 0.10), 1);
}

TEST(HolmTest, EqualsTheTextbookExample) {
  std::vector<double> adjusted = HolmAdjusted({0.01, 0.04, 0.03, 0.005});
  EXPECT_NEAR(adjusted[0], 0.03, 1e-12);
  EXPECT_NEAR(adjusted[1], 0.06, 1e-12);
  EXPECT_NEAR(adjusted[2], 0.06, 1e-12);
  EXPECT_NEAR(adjusted[3], 0.02, 1e-12);
}

TEST(EBenjaminiHochbergTest, RejectsTheLargestThatTogetherSuffice) {
  // m / alpha = 60: 70 alone suffices, 40 as the second needs 30, 19 as the third needs 20.
  EXPECT_EQ(EBenjaminiHochberg({40, 70, 19}, 0.05), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(EBenjaminiHochberg({1, 2, 3}, 0.05), (std::vector<bool>{false, false, false}));
}

TEST(IntervalTest, SurvivesJsonWithInfiniteBounds) {
  Interval interval{
      .point = 3, .lower = 1, .level = 0.9, .method = "order_statistic", .n = 7, .clusters = 4};
  auto restored = IntervalFromJson(ToJson(interval));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(*restored, interval);
}

TEST(IntervalTest, NamesTheMemberThatIsWrong) {
  nlohmann::json json = ToJson(Interval{});
  json["n"] = "many";
  EXPECT_EQ(IntervalFromJson(json).status().message(), "interval.n: expected an integer");
}

TEST(IntervalTest, NonInferiorityLooksAtTheLowerBoundOnly) {
  Interval difference{.point = 0.01, .lower = -0.015, .upper = 0.05};
  EXPECT_TRUE(IsNonInferior(difference, 0.02));
  EXPECT_FALSE(IsNonInferior(difference, 0.01));
  EXPECT_FALSE(IsEquivalent(difference, 0.02));
  EXPECT_FALSE(ExcludesZero(difference));
}

TEST(SpecialTest, QuantilesAndTailsAgreeWithTables) {
  EXPECT_NEAR(NormalQuantile(0.975), 1.959963985, 1e-9);
  EXPECT_NEAR(CriticalT(0.95, 10), 2.228138852, 1e-9);
  EXPECT_EQ(BinomialQuantile(0.5, 10, 0.5), 5);
  EXPECT_NEAR(BinomialCdf(5, 20, 0.5), 0.020694733, 1e-9);
  EXPECT_TRUE(std::isinf(NormalQuantile(1)));
}

TEST(RandomTest, GivesTheSameDrawsEverywhere) {
  Random random(1);
  EXPECT_EQ(random.Below(1000), 133u);
  EXPECT_EQ(random.Below(1000), 136u);
}

}  // namespace
}  // namespace crossover::stats
