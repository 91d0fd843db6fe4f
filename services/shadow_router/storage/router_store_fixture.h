// Both stores of the router, the fake and Postgres, for what every RouterStore promises: a route
// with a draft of an experiment. For tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/fake_clock.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/storage/embedded_sql.h"
#include "services/shadow_router/storage/pg_router_store.h"

namespace crossover::router {

inline constexpr char kRoute[] = "projects/default/routes/sorter";
inline constexpr char kName[] = "projects/default/experiments/e1";

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
  absl::Status Move(ExperimentState to, const std::string& primary = "") {
    Experiment experiment = *store().GetExperiment(kName);
    Transition transition{.experiment = kName,
                          .sequence = experiment.transitions + 1,
                          .from = experiment.state,
                          .to = to,
                          .actor = "ann",
                          .time = clock_.Now(),
                          .statistics = "{\"theta\": 1}",
                          .words = "because"};
    if (experiment.state == ExperimentState::kDraft) experiment.start_time = clock_.Now();
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

}  // namespace crossover::router
