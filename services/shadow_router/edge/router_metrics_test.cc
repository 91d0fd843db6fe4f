#include "services/shadow_router/edge/router_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::router {
namespace {

using ::testing::HasSubstr;

TEST(RouterMetricsTest, AnswersThatCostNothingHaveASeriesToo) {
  metrics::Registry registry("test");
  RouterMetrics metrics(registry);
  metrics.Cost("packages", "tuned", 0);
  metrics.Cost("packages", "prompt", 0.25);
  metrics.Cost("packages", "prompt", 0.25);
  const std::string text = registry.Expose();
  EXPECT_THAT(
      text, HasSubstr("crossover_router_cost_usd_total{route=\"packages\",variant=\"tuned\"} 0\n"));
  EXPECT_THAT(
      text,
      HasSubstr("crossover_router_cost_usd_total{route=\"packages\",variant=\"prompt\"} 0.5\n"));
}

}  // namespace
}  // namespace crossover::router
