#include "services/shadow_router/domain/mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "services/shadow_router/domain/mirror_fixture.h"

namespace crossover::router {
namespace {

using ::testing::ElementsAre;

TEST_F(MirrorTest, NeverStoresAndNeverStreams) {
  Start();
  mirror_->Offer(
      Job("a", R"(,"stream":true,"store":true,"stream_options":{"include_usage":true})"));
  mirror_->WaitUntilIdle();
  const std::string body = model_.calls().at(0).body;
  EXPECT_THAT(body, ::testing::HasSubstr(R"("store":false)"));
  EXPECT_THAT(body, ::testing::HasSubstr(R"("stream":false)"));
  EXPECT_THAT(body, ::testing::Not(::testing::HasSubstr("stream_options")));
  EXPECT_THAT(body, ::testing::HasSubstr(R"("model":"m-new")"));
}

TEST_F(MirrorTest, TheQueueIsBoundedInBytesWhileTheShadowStalls) {
  model_.Stall(true);
  const size_t item = Job().Bytes();
  (void)books_.Take();
  Start({.max_queue_bytes = 3 * item, .workers = 1});
  for (int i = 0; i < 10; ++i) mirror_->Offer(Job());
  EXPECT_LE(mirror_->queued_bytes(), 3 * item);
  EXPECT_THAT(Held().dropped, ElementsAre(::testing::Pair("queue_full", 7)));
  model_.Stall(false);
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 3);
  EXPECT_TRUE(Held().AddsUp());
}

TEST_F(MirrorTest, EveryRequestEndsInOneBookingWhateverTheShadowDoes) {
  Start({.max_item_bytes = 100'000});
  for (CallStatus status : {CallStatus::kConnectFailed, CallStatus::kTimeout, CallStatus::kBroken,
                            CallStatus::kTooLarge}) {
    model_.Say({.status = status});
    mirror_->Offer(Job());
    mirror_->WaitUntilIdle();
  }
  model_.Say({.status = CallStatus::kHttpError, .http_status = 400});
  mirror_->Offer(Job());
  mirror_->Offer(Job("a", R"(,"metadata":{"crossover_mirror":"off"})"));
  mirror_->Offer(Job(std::string(200'000, 'x')));
  MirrorJob cancelled = Job();
  cancelled.served.status = CallStatus::kCancelled;
  mirror_->Offer(std::move(cancelled));
  MirrorJob failed = Job();
  failed.served.status = CallStatus::kTimeout;
  mirror_->Offer(std::move(failed));
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 4) << "a candidate that fails is evidence";
  EXPECT_THAT(Held().failed, ElementsAre(::testing::Pair("primary_failed", 1)));
  EXPECT_THAT(Held().dropped,
              ElementsAre(::testing::Pair("cancelled", 1), ::testing::Pair("no_consent", 1),
                          ::testing::Pair("too_large", 2)));
  EXPECT_TRUE(Held().AddsUp());
  EXPECT_EQ(Held().in_flight, 0);
}

TEST_F(MirrorTest, AFailingShadowOpensItsBreakerAndIsTriedAgainLater) {
  Start({.workers = 1});
  model_.Say({.status = CallStatus::kConnectFailed});
  for (int i = 0; i < 8; ++i) mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 5);
  EXPECT_EQ(Held().dropped["breaker_open"], 3);
  model_.Say(Ok("b"));
  clock_.Advance(absl::Seconds(11));
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 6);
}

TEST_F(MirrorTest, TheDaysTokenBudgetIsKeptAndTheNextDayBeginsAnew) {
  route_->experiment->budgets.tokens_per_day = 40;
  Start({.workers = 1});
  for (int i = 0; i < 4; ++i) mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().dropped["budget"] + Held().paired, 4);
  EXPECT_GT(Held().dropped["budget"], 0);
  EXPECT_LE(budget_.SpentToday(kExperiment).tokens, 40);
  const int64_t before = Held().paired;
  clock_.Advance(absl::Hours(24));
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, before + 1);
}

TEST_F(MirrorTest, ARequestMayLeaveTheHouseOnlyWithTheTasksConsent) {
  route_->variants["new"].target.leaves_house = true;
  route_->variants["new"].system.model.upstream = "projects/default/upstreams/u";
  Start();
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().dropped["no_consent"], 1);
  EXPECT_TRUE(model_.calls().empty());
  route_->task.mirror_to = {"projects/default/upstreams/u"};
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 1);
}

TEST_F(MirrorTest, StoppingBooksWhatWasQueuedAndUnderWayAsCancelled) {
  model_.Stall(true);
  Start({.workers = 1});
  for (int i = 0; i < 3; ++i) mirror_->Offer(Job());
  model_.WaitForCalls(1);
  mirror_->Stop();
  mirror_->Offer(Job());
  EXPECT_THAT(Held().dropped, ElementsAre(::testing::Pair("cancelled", 4)));
  EXPECT_TRUE(Held().AddsUp());
}

}  // namespace
}  // namespace crossover::router
