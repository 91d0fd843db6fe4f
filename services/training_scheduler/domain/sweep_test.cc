#include "services/training_scheduler/domain/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Fields(const SweepGrid& grid) {
  std::vector<std::string> fields;
  for (const FieldViolation& violation : grid.violations) fields.push_back(violation.field);
  return fields;
}

TEST(SweepTest, TheGridIsTheProductOfItsAxesTheLastOneFastest) {
  TrainingSpec shared;
  shared.epochs = 2;
  const SweepGrid grid = GridOf(
      shared, {.axes = {{"adapter.r", {"8", "16"}}, {"learning_rate", {"1e-4", "0.001", "3e-3"}}}});
  ASSERT_TRUE(grid.violations.empty());
  ASSERT_EQ(grid.points.size(), 6u);
  EXPECT_EQ(grid.points[1].spec.rank, 8);
  EXPECT_EQ(grid.points[1].spec.learning_rate, 0.001);
  EXPECT_EQ(grid.points[1].spec.epochs, 2);
  EXPECT_EQ(grid.points[3].values.at("adapter.r"), "16");
  EXPECT_EQ(grid.points[3].values.at("learning_rate"), "1e-4");
}

TEST(SweepTest, NamesAndTruthsAreValuesToo) {
  const SweepGrid grid = GridOf({}, {.axes = {{"schedule", {"\"LINEAR\"", "\"COSINE\""}},
                                              {"adapter.rank_stabilised", {"true", "false"}}}});
  ASSERT_EQ(grid.points.size(), 4u);
  EXPECT_EQ(grid.points[0].spec.schedule, Schedule::kLinear);
  EXPECT_EQ(grid.points[0].spec.rank_stabilised, true);
  EXPECT_EQ(grid.points[3].spec.rank_stabilised, false);
}

TEST(SweepTest, ALargerGridIsSampledBySeedAndKeepsItsOrder) {
  SweepSpec sweep{.axes = {{"seed", {"1", "2", "3", "4", "5", "6", "7", "8", "9"}}},
                  .max_trials = 4};
  TrainingSpec shared;
  shared.seed = 7;
  const auto drawn = [&] {
    std::vector<int64_t> seeds;
    for (const SweepPoint& point : GridOf(shared, sweep).points) seeds.push_back(*point.spec.seed);
    return seeds;
  };
  const std::vector<int64_t> first = drawn();
  EXPECT_EQ(first.size(), 4u);
  EXPECT_TRUE(std::is_sorted(first.begin(), first.end()));
  EXPECT_EQ(first, drawn());
  shared.seed = 8;
  EXPECT_NE(first, drawn());
}

TEST(SweepTest, WhatIsWrongIsNamed) {
  EXPECT_THAT(Fields(GridOf({}, {})), ElementsAre("spec.sweep.axes"));
  const SweepGrid unknown = GridOf({}, {.axes = {{"preference_beta", {"0.1"}}, {"epochs", {}}}});
  EXPECT_THAT(Fields(unknown),
              ElementsAre("spec.sweep.axes[0].field", "spec.sweep.axes[1].values"));
  EXPECT_THAT(unknown.violations[0].description, HasSubstr("learning_rate"));
  for (const char* value : {"x", "1.5", "8 ", "\"8\""}) {
    EXPECT_THAT(Fields(GridOf({}, {.axes = {{"batch_size", {"4", value}}}})),
                ElementsAre("spec.sweep.axes[0].values[1]"));
  }
  EXPECT_THAT(
      Fields(GridOf(
          {}, {.axes = {{"seed", {"1"}}, {"seed", {"2"}}}, .max_trials = 65, .parallelism = 2})),
      ElementsAre("spec.sweep.max_jobs", "spec.sweep.parallelism", "spec.sweep.axes[1].field"));
  std::vector<std::string> many;
  for (int i = 0; i < 65; ++i) many.push_back(std::to_string(i));
  EXPECT_THAT(Fields(GridOf({}, {.axes = {{"seed", many}}})), ElementsAre("spec.sweep.axes"));
}

}  // namespace
}  // namespace crossover::scheduler
