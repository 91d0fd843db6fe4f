#include <gtest/gtest.h>

#include "services/training_scheduler/transport/convert.h"

namespace crossover::scheduler {
namespace {

TEST(ConvertCostTest, WithoutAKnownPriceThereIsNoCostInsteadOfNothingToPay) {
  EXPECT_FALSE(ToProto(Consumption{.seconds = 60}).has_cost());
  const pb::Resources priced = ToProto(Consumption{.seconds = 60, .cost_usd = 2.5});
  EXPECT_EQ(priced.cost().currency_code(), "USD");
  EXPECT_EQ(priced.cost().units(), 2);
  EXPECT_EQ(priced.cost().nanos(), 500'000'000);
}

}  // namespace
}  // namespace crossover::scheduler
