#include "services/trainer_worker/domain/overfitting.h"

#include <gtest/gtest.h>

namespace crossover::worker {
namespace {

std::string Rule(std::vector<CurvePoint> curve, Objective objective = Objective::kSupervised,
                 std::vector<std::string> told = {}) {
  const auto alarm = Overfitting(curve, objective, told);
  return alarm.has_value() ? alarm->rule : "";
}

TEST(OverfittingTest, ALowTrainLossAloneIsNoAlarmButWithAHighValidationLossItIs) {
  EXPECT_EQ(Rule({{10, 0.19, 0.21}}), "TRAIN_LOSS");
  EXPECT_EQ(Rule({{10, 0.19, 0.19}}), "");
  EXPECT_EQ(Rule({{10, 0.21, 0.5}}), "");
  EXPECT_EQ(Rule({{10, 0.1, 0.5}}, Objective::kPreference), "");
  EXPECT_EQ(Rule({{10, 0.1, 0.5}}, Objective::kDistil), "TRAIN_LOSS");
}

TEST(OverfittingTest, AGapThatGrowsTwiceWhileValidationIsWorseThanItsBestIsAnAlarm) {
  EXPECT_EQ(Rule({{1, 2.0, 2.1}, {2, 1.5, 1.8}, {3, 1.0, 1.9}}), "GAP");
  EXPECT_EQ(Rule({{1, 2.0, 2.1}, {2, 1.5, 1.8}, {3, 1.0, 1.7}}), "");  // still the best
  EXPECT_EQ(Rule({{1, 2.0, 2.5}, {2, 1.5, 1.8}, {3, 1.0, 1.9}}), "");  // grew once only
  EXPECT_EQ(Rule({{2, 1.5, 1.8}, {3, 1.0, 1.9}}), "");                 // too early to tell
  EXPECT_EQ(Rule({{1, 0.6, 0.6}, {2, 0.5, 0.6}, {3, 0.3, 0.7}}, Objective::kPreference), "GAP");
}

TEST(OverfittingTest, EachRuleSpeaksOnce) {
  const std::vector<CurvePoint> both = {{1, 0.3, 0.5}, {2, 0.2, 0.6}, {3, 0.1, 0.7}};
  EXPECT_EQ(Rule(both), "TRAIN_LOSS");
  EXPECT_EQ(Rule(both, Objective::kSupervised, {"TRAIN_LOSS"}), "GAP");
  EXPECT_EQ(Rule(both, Objective::kSupervised, {"TRAIN_LOSS", "GAP"}), "");
}

}  // namespace
}  // namespace crossover::worker
