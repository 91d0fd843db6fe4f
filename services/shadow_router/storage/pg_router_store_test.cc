// What Postgres alone does for the router.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/status/error.h"
#include "services/shadow_router/storage/router_store_fixture.h"

namespace crossover::router {
namespace {

TEST(PgRouterStoreTest, OnlyNewsIsLookedThroughForLateLabels) {
  PgBackend backend;
  FakeClock clock;
  Route route{.name = kRoute, .primary = "old"};
  route.variants["old"] = {};
  ASSERT_OK(backend.store.CreateRoute(route, "", clock.Now()));
  ASSERT_OK(backend.store.CreateExperiment({.name = kName, .route = kRoute}, "", clock.Now()));
  UuidGenerator ids(clock, SystemRandom());
  Pair pair{.id = ids.NextId(), .experiment = kName, .comparison = 1, .time = clock.Now()};
  pair.request_id = pair.id;
  pair.legs = {{.output_is_complete = true},
               {.role = LegRole::kCandidate, .output_is_complete = true}};
  ASSERT_OK(backend.store.Flush({.instance = "i", .incarnation = "1", .pairs = {pair}}));
  const auto say = [&](const std::string& project) {
    return backend.store.AddFeedback({.id = "f",
                                      .project = project,
                                      .inference_id = pair.id,
                                      .name = "label",
                                      .value = "1",
                                      .time = clock.Now()});
  };
  ASSERT_OK(say("projects/other"));
  EXPECT_TRUE(backend.store.UngradedFeedback(kName, absl::InfinitePast(), 10)->empty())
      << "another project's";
  ASSERT_OK(say("projects/default"));
  EXPECT_EQ(backend.store.UngradedFeedback(kName, absl::InfinitePast(), 10)->size(), 1);
  const absl::Time later = SystemClock().Now() + absl::Hours(1);
  EXPECT_TRUE(backend.store.UngradedFeedback(kName, later, 10)->empty());
}

TEST(PgRouterStoreTest, AnAnswerThatTheDatabaseRefusesIsNoReasonToWait) {
  PgBackend backend;
  const absl::Status status =
      backend.store.AddFeedback({.id = "f", .project = "p", .value = "not json"}).status();
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(IsPassing(status)) << status;
  EXPECT_TRUE(IsPassing(Error(absl::StatusCode::kInternal, "no writes on a standby",
                              {.reason = "POSTGRES_ERROR", .metadata = {{"sqlstate", "25006"}}})));
}

TEST(PgRouterStoreTest, TheDatabaseItselfRefusesALedgerThatDoesNotAddUp) {
  PgBackend backend;
  FakeClock clock;
  Route route{.name = kRoute, .primary = "old"};
  route.variants["old"] = {};
  ASSERT_OK(backend.store.CreateRoute(route, "", clock.Now()));
  ASSERT_OK(backend.store.CreateExperiment({.name = kName, .route = kRoute}, "", clock.Now()));
  Batch batch{.instance = "i", .incarnation = "1"};
  batch.ledger = {{{kName, 1, clock.Now()}, {.eligible = 5, .sampled = 5, .paired = 1}}};
  EXPECT_THAT(backend.store.Flush(batch), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace crossover::router
