// What every RouterStore promises of routes, experiments and their moves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "services/shadow_router/domain/record_json.h"
#include "services/shadow_router/storage/router_store_fixture.h"

namespace crossover::router {
namespace {

using State = ExperimentState;

TYPED_TEST(RouterStoreTest, ARouteComesBackAsItWasStored) {
  ASSERT_OK_AND_ASSIGN(const Route route, this->store().GetRoute(kRoute));
  EXPECT_EQ(SettingsToJson(route), SettingsToJson(this->route_));
  EXPECT_EQ(route.config_version, 1);
  EXPECT_EQ(route.create_time, this->clock_.Now());
  EXPECT_EQ(route.experiment, "");
  EXPECT_THAT(this->store().GetRoute("projects/default/routes/none"),
              HasReasonThat("RESOURCE_NOT_FOUND"));
}

TYPED_TEST(RouterStoreTest, CreatingIsIdempotentByRequestId) {
  const absl::Time now = this->clock_.Now();
  EXPECT_OK(this->store().CreateRoute(this->route_, "r1", now));
  Route other = this->route_;
  other.primary = "new";
  const absl::Status reused = this->store().CreateRoute(other, "r1", now).status();
  EXPECT_THAT(reused, HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(reused.ToString(), ::testing::HasSubstr("use a new one for this request"));
  EXPECT_THAT(this->store().CreateRoute(this->route_, "r2", now), HasReasonThat("RESOURCE_EXISTS"));
  EXPECT_EQ(this->store().CreateExperiment(this->New(), "x1", now)->name, kName);
  Experiment changed = this->New();
  changed.margin = 0.5;
  EXPECT_THAT(this->store().CreateExperiment(changed, "x1", now),
              HasReasonThat("REQUEST_ID_REUSED"));
  Experiment orphan = this->New();
  orphan.name = "projects/default/experiments/e2";
  orphan.route = "projects/default/routes/none";
  EXPECT_THAT(this->store().CreateExperiment(orphan, "", now), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TYPED_TEST(RouterStoreTest, UpdatesNeedTheCurrentEtagAndRaiseTheVersions) {
  const int64_t before = *this->store().RoutingVersion();
  Route route = *this->store().GetRoute(kRoute);
  route.labels["a"] = "b";
  ASSERT_OK_AND_ASSIGN(const Route updated, this->store().UpdateRoute(route, this->clock_.Now()));
  EXPECT_EQ(updated.config_version, 2);
  EXPECT_EQ(updated.labels.at("a"), "b");
  EXPECT_THAT(this->store().UpdateRoute(route, this->clock_.Now()), HasReasonThat("ETAG_MISMATCH"));
  EXPECT_GT(*this->store().RoutingVersion(), before);
  route.name = "projects/default/routes/none";
  EXPECT_THAT(this->store().UpdateRoute(route, this->clock_.Now()),
              HasReasonThat("RESOURCE_NOT_FOUND"));
}

TYPED_TEST(RouterStoreTest, ListsGoOnWhereThePageBeforeEnded) {
  for (const char* name : {"a", "b", "c"}) {
    Route route = this->route_;
    route.name = std::string("projects/default/routes/") + name;
    ASSERT_OK(this->store().CreateRoute(route, "", this->clock_.Now()));
  }
  ASSERT_OK_AND_ASSIGN(const auto first, this->store().ListRoutes("projects/default", {.size = 3}));
  ASSERT_EQ(first.items.size(), 3);
  ASSERT_OK_AND_ASSIGN(
      const auto second,
      this->store().ListRoutes("projects/default", {.size = 3, .token = first.next_token}));
  ASSERT_EQ(second.items.size(), 1);
  EXPECT_EQ(second.items[0].name, kRoute);
  EXPECT_EQ(second.next_token, "");
  EXPECT_TRUE(this->store().ListRoutes("projects/other", {})->items.empty());
  EXPECT_EQ(this->store().ListExperiments("projects/default", kRoute, {})->items.size(), 1);
  EXPECT_TRUE(this->store().ListExperiments("projects/default", "x", {})->items.empty());
}

TYPED_TEST(RouterStoreTest, ATransitionMovesExperimentAndRouteTogetherAndOnlyOnce) {
  ASSERT_OK(this->Move(State::kCalibrating));
  EXPECT_EQ(this->store().GetRoute(kRoute)->experiment, kName);
  EXPECT_EQ(this->store().RunningExperiments()->size(), 1);
  const auto routing = *this->store().LoadRouting();
  ASSERT_EQ(routing.size(), 1);
  EXPECT_EQ(routing[0].experiment->state, State::kCalibrating);

  Experiment stale = *this->store().GetExperiment(kName);
  ASSERT_OK(this->Move(State::kPromoted, "new"));
  EXPECT_EQ(this->store().GetRoute(kRoute)->primary, "new");
  stale.state = State::kAborted;
  stale.finish_time = this->clock_.Now();
  EXPECT_THAT(this->store().ApplyTransition(stale,
                                            {.experiment = kName,
                                             .sequence = 2,
                                             .actor = "x",
                                             .time = this->clock_.Now(),
                                             .words = "w"},
                                            ""),
              HasReasonThat("ETAG_MISMATCH"));
  EXPECT_THAT(this->store().DeleteRoute(kRoute), HasReasonThat("RESOURCE_IN_USE"));
  EXPECT_THAT(this->store().DeleteExperiment(kName, ""), HasReasonThat("STATE_INVALID"));

  ASSERT_OK(this->Move(State::kRolledBack, "old"));
  EXPECT_EQ(this->store().GetRoute(kRoute)->experiment, "");
  EXPECT_EQ(this->store().GetRoute(kRoute)->primary, "old");
  EXPECT_TRUE(this->store().RunningExperiments()->empty());
  const auto transitions = *this->store().ListTransitions(kName);
  ASSERT_EQ(transitions.size(), 3);
  EXPECT_EQ(transitions[1].from, State::kCalibrating);
  EXPECT_EQ(transitions[2].words, "because");
  EXPECT_THAT(this->store().DeleteExperiment(kName, ""), HasReasonThat("STATE_INVALID"))
      << "what it measured is kept";
  EXPECT_OK(this->store().DeleteRoute(kRoute));
}

TYPED_TEST(RouterStoreTest, ADraftIsDeletedUnlessItHasChanged) {
  Experiment draft = *this->store().GetExperiment(kName);
  const std::string etag = draft.etag;
  draft.labels["team"] = "support";
  ASSERT_OK(this->store().UpdateExperiment(draft, this->clock_.Now()));
  EXPECT_THAT(this->store().DeleteExperiment(kName, etag), HasReasonThat("ETAG_MISMATCH"));
  EXPECT_OK(this->store().DeleteExperiment(kName, ""));
  EXPECT_THAT(this->store().GetExperiment(kName), HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(this->store().DeleteExperiment(kName, ""), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TYPED_TEST(RouterStoreTest, ASecondExperimentCannotMoveTheSameRoute) {
  ASSERT_OK(this->Move(State::kCalibrating));
  Experiment second = this->New();
  second.name = "projects/default/experiments/e2";
  ASSERT_OK(this->store().CreateExperiment(second, "", this->clock_.Now()));
  second.state = State::kCalibrating;
  second.start_time = second.state_time = this->clock_.Now();
  EXPECT_THAT(this->store().ApplyTransition(second,
                                            {.experiment = second.name,
                                             .sequence = 1,
                                             .actor = "x",
                                             .time = this->clock_.Now(),
                                             .words = "w"},
                                            ""),
              HasReasonThat("EXPERIMENT_ACTIVE"));
}

TYPED_TEST(RouterStoreTest, ADraftEndsWhileAnotherExperimentMovesTheRoute) {
  ASSERT_OK(this->Move(State::kCalibrating));
  Experiment draft = this->New();
  draft.name = "projects/default/experiments/e2";
  ASSERT_OK_AND_ASSIGN(draft, this->store().CreateExperiment(draft, "", this->clock_.Now()));
  const Route before = *this->store().GetRoute(kRoute);
  draft.state = State::kAborted;
  draft.start_time = draft.finish_time = draft.state_time = this->clock_.Now();
  ASSERT_OK(this->store().ApplyTransition(draft,
                                          {.experiment = draft.name,
                                           .sequence = 1,
                                           .from = State::kDraft,
                                           .to = State::kAborted,
                                           .actor = "x",
                                           .time = this->clock_.Now(),
                                           .words = "w"},
                                          ""));
  EXPECT_EQ(this->store().GetExperiment(draft.name)->state, State::kAborted);
  // The route is still the other's.
  EXPECT_EQ(this->store().GetRoute(kRoute)->experiment, kName);
  EXPECT_EQ(this->store().GetRoute(kRoute)->config_version, before.config_version);
}

TYPED_TEST(RouterStoreTest, SettingsOfAnExperimentChangeOnlyInTheStateTheyWereReadIn) {
  Experiment read = *this->store().GetExperiment(kName);
  read.comparison = 4;
  read.provenance = "key";
  ASSERT_OK_AND_ASSIGN(const Experiment updated,
                       this->store().UpdateExperiment(read, this->clock_.Now()));
  EXPECT_EQ(updated.comparison, 4);
  EXPECT_THAT(this->store().UpdateExperiment(read, this->clock_.Now()),
              HasReasonThat("ETAG_MISMATCH"));
  ASSERT_OK(this->Move(State::kCalibrating));
  read.etag.clear();
  EXPECT_THAT(this->store().UpdateExperiment(read, this->clock_.Now()),
              HasReasonThat("ETAG_MISMATCH"));
}

TYPED_TEST(RouterStoreTest, AMoveDoesNotUndoAChangeOfSettings) {
  ASSERT_OK_AND_ASSIGN(Experiment moved, this->store().GetExperiment(kName));
  Experiment changed = moved;
  changed.margin = 0.5;
  ASSERT_OK(this->store().UpdateExperiment(changed, this->clock_.Now()));
  moved.state = State::kCalibrating;
  moved.start_time = moved.state_time = this->clock_.Now();
  EXPECT_THAT(this->store().ApplyTransition(moved,
                                            {.experiment = kName,
                                             .sequence = 1,
                                             .to = moved.state,
                                             .actor = "ann",
                                             .time = this->clock_.Now(),
                                             .words = "w"},
                                            ""),
              HasReasonThat("ETAG_MISMATCH"));
}

}  // namespace
}  // namespace crossover::router
