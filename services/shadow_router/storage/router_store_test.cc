// One conformance suite for both stores.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/fake_clock.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/domain/record_json.h"
#include "services/shadow_router/storage/embedded_sql.h"
#include "services/shadow_router/storage/pg_router_store.h"

namespace crossover::router {
namespace {

using State = ExperimentState;

constexpr char kRoute[] = "projects/default/routes/sorter";
constexpr char kName[] = "projects/default/experiments/e1";

struct FakeBackend {
  FakeRouterStore store;
};
struct PgBackend {
  testing::PgDatabase database{{Migrations()}};
  std::unique_ptr<pg::Pool> pool = database.NewPool("router");
  PgRouterStore store{*pool};
};

template <typename Backend>
class RouterStoreTest : public ::testing::Test {
 protected:
  RouterStoreTest() {
    Route route{.name = kRoute,
                .task = "projects/default/tasks/t",
                .primary = "old",
                .salt = "s",
                .shadow_salt = "t"};
    route.variants["old"] = {
        .prompt_version = "p",
        .model = {.kind = ModelRef::Kind::kAdapter, .model = "m", .digest = "sha256:d"},
        .sampling = {{"temperature", "0"}},
        .timeout = absl::Seconds(3)};
    route.variants["new"] = {.model = {.model = "n", .upstream = "u"}};
    route_ = route;
    EXPECT_OK(store().CreateRoute(route, "r1", clock_.Now()));
    EXPECT_OK(store().CreateExperiment(New(), "x1", clock_.Now()));
  }
  RouterStore& store() { return backend_.store; }

  static Experiment New() {
    return {.name = kName, .route = kRoute, .baseline = "old", .candidate = "new", .margin = 0.03};
  }

  // Moves the experiment as stored.
  absl::Status Move(State to, const std::string& primary = "") {
    Experiment experiment = *store().GetExperiment(kName);
    Transition transition{.experiment = kName,
                          .sequence = experiment.transitions + 1,
                          .from = experiment.state,
                          .to = to,
                          .actor = "ann",
                          .time = clock_.Now(),
                          .statistics = "{\"theta\": 1}",
                          .words = "because"};
    if (experiment.state == State::kDraft) experiment.start_time = clock_.Now();
    experiment.state = to;
    experiment.state_time = clock_.Now();
    if (IsTerminal(to)) experiment.finish_time = clock_.Now();
    return store().ApplyTransition(experiment, transition, primary);
  }

  Pair MakePair(bool agree = true, int comparison = 1) {
    Pair pair{.id = ids_.NextId(),
              .route = kRoute,
              .experiment = kName,
              .comparison = comparison,
              .completion_id = "chatcmpl-" + std::to_string(++count_),
              .cluster = "c" + std::to_string(count_),
              .time = clock_.Now()};
    pair.request_id = pair.id;
    pair.legs = {{.role = LegRole::kPrimary,
                  .output = "a\xff",
                  .output_is_complete = true,
                  .usage = {1, 2, 3},
                  .latency = absl::Milliseconds(5)},
                 {.role = LegRole::kCandidate,
                  .output = "b",
                  .output_is_complete = true,
                  .ttft = absl::Milliseconds(2)}};
    pair.comparisons = {
        {.comparator = "json", .equal = agree, .score = 0.5, .fields = {{"x", true}}}};
    pair.secondary_differs = false;
    pair.grades = {{.source = GradeSource::kValidator,
                    .grader_version = "v",
                    .primary_loss = 0,
                    .candidate_loss = 1,
                    .time = clock_.Now()}};
    return pair;
  }

  Backend backend_;
  FakeClock clock_;
  FakeRandom random_;
  UuidGenerator ids_{clock_, random_};
  Route route_;
  int count_ = 0;
};

using Backends = ::testing::Types<FakeBackend, PgBackend>;
TYPED_TEST_SUITE(RouterStoreTest, Backends);

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
  EXPECT_THAT(this->store().CreateRoute(other, "r1", now), HasReasonThat("REQUEST_ID_REUSED"));
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

TYPED_TEST(RouterStoreTest, AFlushMayBeRepeatedAndCountsOnce) {
  Batch batch{.instance = "i", .incarnation = "1"};
  const absl::Time minute = absl::FromUnixSeconds(1'800'000'000);
  LedgerCounts counts{.eligible = 9,
                      .sampled = 8,
                      .paired = 2,
                      .failed = {{"timeout", 3}},
                      .dropped = {{"budget", 1}},
                      .in_flight = 2,
                      .bytes = 7};
  batch.ledger = {{{kName, 1, minute}, counts},
                  {{kName, 1, minute + absl::Minutes(1)}, counts},
                  {{kName, 2, minute}, counts}};
  batch.arms = {{{kName, 1, 500},
                 {.reference_requests = 5,
                  .candidate_requests = 1,
                  .reference_events = {{"error_rate", 1}},
                  .candidate_events = {}}}};
  batch.pairs = {this->MakePair(), this->MakePair(false)};
  batch.recordings = {
      {.id = this->ids_.NextId(), .route = kRoute, .time = minute, .metadata = {{"k", "v"}}}};
  for (int i = 0; i < 2; ++i) ASSERT_OK(this->store().Flush(batch));

  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, this->store().SumLedger(kName, 1));
  EXPECT_EQ(sum.sampled, 16);
  EXPECT_EQ(sum.failed.at("timeout"), 6);
  EXPECT_TRUE(sum.AddsUp());
  EXPECT_EQ(this->store().ListLedger(kName, std::nullopt)->size(), 3);
  ASSERT_OK_AND_ASSIGN(const auto rows, this->store().ListLedger(kName, 2));
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].counts, counts);
  EXPECT_EQ(this->store().SumArms(kName, 1)->at(500).reference_requests, 5);
  EXPECT_EQ(this->store().ListRecordings("", {})->items, batch.recordings);
  EXPECT_TRUE(this->store().ListRecordings("other", {})->items.empty());
  ASSERT_OK_AND_ASSIGN(const auto pairs, this->store().ListPairs({.experiment = kName}, {}));
  ASSERT_EQ(pairs.items.size(), 2);
  EXPECT_EQ(pairs.items[0].id, batch.pairs[1].id) << "newest first";
  EXPECT_EQ(pairs.items[0].grades, batch.pairs[1].grades);
  EXPECT_EQ(this->store().ListPairs({.experiment = kName, .agree = false}, {})->items.size(), 1);
  EXPECT_TRUE(this->store().ListPairs({.experiment = kName, .comparison = 2}, {})->items.empty());
  ASSERT_OK_AND_ASSIGN(const auto page,
                       this->store().ListPairs({.experiment = kName}, {.size = 1}));
  ASSERT_OK_AND_ASSIGN(
      const auto rest,
      this->store().ListPairs({.experiment = kName}, {.size = 1, .token = page.next_token}));
  EXPECT_EQ(rest.items.at(0).id, batch.pairs[0].id);
  EXPECT_EQ(rest.next_token, "");
}

TYPED_TEST(RouterStoreTest, APairComesBackWhole) {
  const Pair pair = this->MakePair();
  ASSERT_OK(this->store().Flush({.instance = "i", .incarnation = "1", .pairs = {pair}}));
  ASSERT_OK_AND_ASSIGN(Pair read, this->store().GetPair(pair.id));
  EXPECT_EQ(read.grades, pair.grades);
  EXPECT_EQ(read.comparisons, pair.comparisons);
  EXPECT_EQ(read.Find(LegRole::kPrimary)->usage, (Usage{1, 2, 3}));
  EXPECT_EQ(read.Find(LegRole::kCandidate)->ttft, absl::Milliseconds(2));
  EXPECT_EQ(read.secondary_differs, false);
  EXPECT_EQ(read.time, pair.time);
  EXPECT_THAT(this->store().GetPair(this->ids_.NextId()), HasReasonThat("RESOURCE_NOT_FOUND"));
}

// JSON may hold U+0000 in keys and strings, and clients and models do send it.
TYPED_TEST(RouterStoreTest, ANulInWhatClientsAndModelsWroteIsKept) {
  const std::string nul("a\0b", 3);
  Pair pair = this->MakePair();
  pair.completion_id = "chatcmpl" + nul;
  pair.legs[0].output = nul;
  pair.legs[0].system_fingerprint = nul;
  pair.comparisons[0].fields = {{nul, false}};
  Recording recording{.id = this->ids_.NextId(), .route = kRoute, .time = this->clock_.Now()};
  recording.request = nul;
  recording.metadata = {{nul, nul}};
  ASSERT_OK(this->store().Flush(
      {.instance = "i", .incarnation = "1", .pairs = {pair}, .recordings = {recording}}));
  ASSERT_OK_AND_ASSIGN(const Pair read, this->store().GetPair(pair.id));
  EXPECT_EQ(read.legs[0].output, nul);
  EXPECT_EQ(read.comparisons, pair.comparisons);
  EXPECT_EQ(read.grades, pair.grades);
  EXPECT_EQ(this->store().PairFactsAfter(kName, 1, 0, 10)->at(0).primary_fingerprint, nul);
  EXPECT_EQ(this->store().GradeFactsAfter(kName, 1, 0, 10)->size(), 1);
  EXPECT_EQ(this->store().ListRecordings("", {})->items.at(0).metadata, recording.metadata);
  EXPECT_THAT(this->store().AddFeedback({.id = "f",
                                         .project = "projects/default",
                                         .inference_id = pair.id,
                                         .name = "label",
                                         .value = R"("a\u0000b")",
                                         .time = this->clock_.Now()}),
              IsOkAndHolds(true))
      << "its pair is known";
  ASSERT_OK_AND_ASSIGN(const auto items,
                       this->store().UngradedFeedback(kName, absl::InfinitePast(), 10));
  ASSERT_EQ(items.size(), 1);
  EXPECT_EQ(items[0].feedback.value, R"("a\u0000b")");
}

TYPED_TEST(RouterStoreTest, AnIdOfFeedbackStandsForOnePayloadInItsProject) {
  Feedback feedback{.id = "f",
                    .project = "projects/default",
                    .inference_id = "i",
                    .name = "rating",
                    .value = "1",
                    .author = "ann",
                    .time = this->clock_.Now()};
  EXPECT_THAT(this->store().AddFeedback(feedback), IsOkAndHolds(false)) << "no pair of that id";
  feedback.time += absl::Seconds(1);
  EXPECT_OK(this->store().AddFeedback(feedback)) << "a repeat";
  feedback.value = "0";
  EXPECT_THAT(this->store().AddFeedback(feedback), HasReasonThat("REQUEST_ID_REUSED"));
  feedback.project = "projects/other";
  EXPECT_OK(this->store().AddFeedback(feedback));
  EXPECT_EQ(this->store().ListFeedback("i", {})->items.size(), 2);
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

TYPED_TEST(RouterStoreTest, FactsComeInTheOrderOfStorageAndOnlyOnce) {
  std::vector<Pair> pairs;
  for (int i = 0; i < 5; ++i) pairs.push_back(this->MakePair(i % 2 == 0));
  pairs.push_back(this->MakePair(true, /*comparison=*/2));
  ASSERT_OK(this->store().Flush({.instance = "i", .incarnation = "1", .pairs = pairs}));
  std::vector<std::string> clusters;
  int64_t cursor = 0;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const auto facts, this->store().PairFactsAfter(kName, 1, cursor, 2));
    if (facts.empty()) break;
    for (const PairFacts& fact : facts) {
      clusters.push_back(fact.cluster);
      EXPECT_GT(fact.sequence, cursor);
      cursor = fact.sequence;
    }
  }
  EXPECT_THAT(clusters, ::testing::ElementsAre("c1", "c2", "c3", "c4", "c5"));
  ASSERT_OK_AND_ASSIGN(const auto grades, this->store().GradeFactsAfter(kName, 1, 0, 10));
  ASSERT_EQ(grades.size(), 5);
  EXPECT_EQ(grades[2].pair, pairs[2].id);
  EXPECT_EQ(grades[2].source, GradeSource::kValidator);
  EXPECT_EQ(grades[2].candidate_loss, 1);
  EXPECT_TRUE(this->store().GradeFactsAfter(kName, 1, grades.back().sequence, 10)->empty());
}

TYPED_TEST(RouterStoreTest, WhatAnOldIncarnationLeftInFlightIsBookedAsCrashed) {
  const LedgerKey key{kName, 1, absl::FromUnixSeconds(1'800'000'000)};
  const LedgerCounts counts{.eligible = 5, .sampled = 5, .paired = 1, .in_flight = 4};
  for (const auto& [instance, incarnation] :
       {std::pair("i", "1"), std::pair("i", "2"), std::pair("j", "1")}) {
    ASSERT_OK(this->store().Flush(
        {.instance = instance, .incarnation = incarnation, .ledger = {{key, counts}}}));
  }
  EXPECT_EQ(*this->store().CloseOldIncarnations("i", "2"), 4);
  EXPECT_EQ(*this->store().CloseOldIncarnations("i", "2"), 0);
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, this->store().SumLedger(kName, 1));
  EXPECT_EQ(sum.dropped.at("crashed"), 4);
  EXPECT_EQ(sum.in_flight, 8) << "another instance and the living incarnation are left alone";
  EXPECT_TRUE(sum.AddsUp());
}

TYPED_TEST(RouterStoreTest, ALateLabelFindsItsPairByEitherIdAndIsGradedOnce) {
  const Pair by_request = this->MakePair(), by_completion = this->MakePair();
  Pair incomplete = this->MakePair();
  incomplete.legs[0].output_is_complete = false;
  ASSERT_OK(this->store().Flush(
      {.instance = "i", .incarnation = "1", .pairs = {by_request, by_completion, incomplete}}));
  int id = 0;
  const auto say = [&](const std::string& inference, const std::string& name) {
    EXPECT_OK(this->store().AddFeedback({.id = std::to_string(++id),
                                         .project = "projects/default",
                                         .inference_id = inference,
                                         .name = name,
                                         .value = "\"x\"",
                                         .author = "ann",
                                         .time = this->clock_.Now()}));
  };
  say(by_request.id, "label");
  say(by_completion.completion_id, "demonstration");
  say(incomplete.id, "label");
  say(by_request.id, "rating");
  say("unknown", "label");
  ASSERT_OK_AND_ASSIGN(const auto items,
                       this->store().UngradedFeedback(kName, absl::InfinitePast(), 10));
  ASSERT_EQ(items.size(), 2);
  EXPECT_EQ(items[0].pair.id, by_request.id);
  EXPECT_EQ(items[0].feedback.value, "\"x\"");
  const Grade grade{.source = GradeSource::kLabel,
                    .grader_version = "g",
                    .primary_loss = 1,
                    .candidate_loss = 0,
                    .time = this->clock_.Now()};
  for (int i = 0; i < 2; ++i) ASSERT_OK(this->store().AddGrade(by_request.id, grade));
  EXPECT_EQ(this->store().UngradedFeedback(kName, absl::InfinitePast(), 10)->size(), 1);
  EXPECT_EQ(this->store().ListFeedback(by_request.id, {})->items.at(0).project, "projects/default");
  EXPECT_EQ(this->store().GetPair(by_request.id)->grades.size(), 2);
  EXPECT_EQ(this->store().ListFeedback(by_request.id, {})->items.size(), 2);
}

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
