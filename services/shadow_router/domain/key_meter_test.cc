#include "services/shadow_router/domain/key_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"

namespace crossover::router {
namespace {

class KeyMeterTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  KeyMeter meter_{clock_};
};

TEST_F(KeyMeterTest, AMinutesRequestsAreAllowedAndComeBackOneByOne) {
  const Caller caller{.name = "k", .limits = {.requests_per_minute = 6}};
  for (int i = 0; i < 6; ++i) ASSERT_OK(meter_.TakeRequest(caller));
  const absl::Status refused = meter_.TakeRequest(caller);
  EXPECT_THAT(refused, HasReasonThat("RATE_LIMITED"));
  EXPECT_EQ(DetailOf(refused).metadata.at("retry_after_seconds"), "10");
  clock_.Advance(absl::Seconds(10));
  EXPECT_OK(meter_.TakeRequest(caller));
  EXPECT_FALSE(meter_.TakeRequest(caller).ok());
  EXPECT_OK(meter_.TakeRequest({.name = "other", .limits = caller.limits}));
  EXPECT_OK(meter_.TakeRequest({.name = "k"})) << "no limit";
}

TEST_F(KeyMeterTest, RequestsAtTheSameTimeDoNotSlipPastTheTokens) {
  const Caller caller{.name = "k", .limits = {.tokens_per_minute = 100}};
  ASSERT_OK(meter_.Reserve(caller, {.tokens = 60}));
  EXPECT_THAT(meter_.Reserve(caller, {.tokens = 60}), HasReasonThat("RATE_LIMITED"));
  meter_.Settle(caller, {.tokens = 60}, {.tokens = 10});
  EXPECT_OK(meter_.Reserve(caller, {.tokens = 60}));
  meter_.Settle(caller, {.tokens = 60}, {.tokens = 300});
  clock_.Advance(absl::Minutes(1));
  EXPECT_FALSE(meter_.Reserve(caller, {.tokens = 1}).ok()) << "what was overdrawn is paid back";
  clock_.Advance(absl::Minutes(3));
  EXPECT_OK(meter_.Reserve(caller, {.tokens = 500})) << "larger than the limit, but alone";
}

TEST_F(KeyMeterTest, ADaysMoneyIsKeptAndTheNextDayBeginsAnew) {
  const Caller caller{.name = "k", .limits = {.spend_per_day_usd = 1}};
  ASSERT_OK(meter_.Reserve(caller, {.usd = 0.7}));
  EXPECT_THAT(meter_.Reserve(caller, {.usd = 0.7}), HasReasonThat("BUDGET_EXCEEDED"));
  meter_.Settle(caller, {.usd = 0.7}, {.usd = 0.2});
  EXPECT_OK(meter_.Reserve(caller, {.usd = 0.7}));
  EXPECT_FALSE(meter_.Reserve(caller, {.usd = 0.2}).ok());
  clock_.Advance(absl::Hours(24));
  EXPECT_OK(meter_.Reserve(caller, {.usd = 0.7}));
}

}  // namespace
}  // namespace crossover::router
