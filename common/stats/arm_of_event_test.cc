#include "common/stats/arm_of_event.h"

#include <cmath>

#include <gtest/gtest.h>

#include "common/stats/random.h"

namespace crossover::stats {
namespace {

constexpr double kRamp[] = {0.01, 0.05, 0.25, 0.5};

// Requests through a canary ramp; `drift` multiplies both arms' error rate over time.
ArmOfEvent Ramp(Random& random, int per_step, double baseline_rate, double canary_rate,
                double drift) {
  ArmOfEvent test;
  double factor = 1;
  for (double weight : kRamp) {
    for (int i = 0; i < per_step; ++i) {
      bool canary = random.Chance(weight);
      if (random.Chance(factor * (canary ? canary_rate : baseline_rate)))
        test.AddEvent(canary, weight);
    }
    factor *= drift;
  }
  return test;
}

TEST(ArmOfEventTest, IsAMartingaleWhenEventsFallByWeight) {
  for (double weight : kRamp) {
    ArmOfEvent before;
    before.AddEvent(true, 0.05);
    before.AddEvent(false, 0.05);
    ArmOfEvent on_canary = before, on_baseline = before;
    on_canary.AddEvent(true, weight);
    on_baseline.AddEvent(false, weight);
    double mean = weight * std::exp(on_canary.LogE()) + (1 - weight) * std::exp(on_baseline.LogE());
    EXPECT_NEAR(mean, std::exp(before.LogE()), 1e-12);
  }
}

TEST(ArmOfEventTest, FalseAlarmsStayUnderAlphaThroughARampWithADriftingRate) {
  Random random(51);
  int alarms = 0;
  constexpr int kRuns = 1000;
  for (int run = 0; run < kRuns; ++run) alarms += Ramp(random, 1500, 0.02, 0.02, 1.6).Rejects(0.05);
  EXPECT_LT(alarms, kRuns * 0.05);
}

TEST(ArmOfEventTest, FindsThreeTimesAsManyErrors) {
  Random random(52);
  int found = 0;
  for (int run = 0; run < 100; ++run) found += Ramp(random, 3000, 0.02, 0.06, 1).Rejects(0.05);
  EXPECT_GT(found, 95);
}

TEST(ArmOfEventTest, NothingToCompareAtWeightsOfZeroAndOne) {
  ArmOfEvent test;
  test.AddEvent(true, 1);
  test.AddEvent(false, 0);
  EXPECT_EQ(test.events(), 0);
  EXPECT_EQ(test.PValue(), 1);
}

TEST(ArmOfEventTest, GoesOnFromItsJson) {
  Random random(53);
  ArmOfEvent test = Ramp(random, 500, 0.05, 0.10, 1);
  auto restored = ArmOfEvent::FromJson(nlohmann::json::parse(test.ToJson().dump()));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->LogE(), test.LogE());
  EXPECT_EQ(restored->canary_events(), test.canary_events());
  nlohmann::json broken = test.ToJson();
  broken["log_products"] = {1, 2};
  EXPECT_FALSE(ArmOfEvent::FromJson(broken).ok());
}

}  // namespace
}  // namespace crossover::stats
