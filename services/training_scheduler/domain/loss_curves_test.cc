#include "services/training_scheduler/domain/loss_curves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<MetricPoint> Curve(const std::vector<double>& losses, int64_t first = 1) {
  std::vector<MetricPoint> points;
  for (const double loss : losses) {
    MetricPoint point;
    point.step = first++;
    point.values["train_loss"] = loss;
    points.push_back(point);
  }
  return points;
}

// Falls from 3 to 1 with noise of a few hundredths, as training does.
std::vector<double> Falling(int steps) {
  std::vector<double> losses;
  for (int i = 0; i < steps; ++i) {
    losses.push_back(1 + 2 * std::exp(-i / 30.0) + 0.03 * std::sin(i * 12.9898));
  }
  return losses;
}

TEST(LossCurvesTest, AQuietCurveHasNoSpikes) {
  EXPECT_THAT(FindSpikes(Curve(Falling(200))), IsEmpty());
  EXPECT_THAT(FindSpikes(Curve(std::vector<double>(50, 0.0))), IsEmpty());
  EXPECT_THAT(FindSpikes(Curve({9, 1, 1, 1, 1})), IsEmpty());  // too few to say
}

TEST(LossCurvesTest, WhatStandsOutIsFoundAndDoesNotHideTheNext) {
  std::vector<double> losses = Falling(100);
  losses[40] = 4;
  losses[41] = 3.5;
  losses[80] = std::numeric_limits<double>::quiet_NaN();
  const std::vector<LossSpike> spikes = FindSpikes(Curve(losses));
  ASSERT_THAT(spikes, SizeIs(3));
  EXPECT_EQ(spikes[0].step, 41);
  EXPECT_EQ(spikes[0].loss, 4);
  EXPECT_NEAR(spikes[0].median, losses[30], 0.2);
  EXPECT_EQ(spikes[1].step, 42);
  EXPECT_EQ(spikes[2].step, 81);
}

TEST(LossCurvesTest, ARiseOfLessThanATenthIsNoSpikeHoweverStillTheCurve) {
  std::vector<double> losses(30, 1.0);
  losses[20] = 1.09;
  EXPECT_THAT(FindSpikes(Curve(losses)), IsEmpty());
  losses[20] = 1.11;
  EXPECT_THAT(FindSpikes(Curve(losses)), SizeIs(1));
}

TEST(LossCurvesTest, OnlyStepsThatAllHaveAreSetBesideEachOther) {
  const std::vector<MetricPoint> a = Curve({4, 3, 2, 1});
  const std::vector<MetricPoint> b = Curve({30, 20, 10}, 2);
  const std::vector<LossRow> rows = CommonLosses({&a, &b}, 100);
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(rows[0].step, 2);
  EXPECT_THAT(rows[0].losses, ElementsAre(3, 30));
  EXPECT_THAT(rows[2].losses, ElementsAre(1, 10));
  const std::vector<MetricPoint> late = Curve({1}, 100);
  EXPECT_THAT(CommonLosses({&a, &late}, 100), IsEmpty());
}

TEST(LossCurvesTest, LongCurvesAreThinnedFromTheFirstToTheLast) {
  const std::vector<MetricPoint> a = Curve(Falling(1000));
  const std::vector<LossRow> rows = CommonLosses({&a, &a}, 100);
  ASSERT_THAT(rows, SizeIs(100));
  EXPECT_EQ(rows.front().step, 1);
  EXPECT_EQ(rows.back().step, 1000);
}

}  // namespace
}  // namespace crossover::scheduler
