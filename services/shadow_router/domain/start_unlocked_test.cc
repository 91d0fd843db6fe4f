// A start asks other services, which may take long: nothing else waits for that.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <thread>

#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/shadow_router/domain/control.h"
#include "services/shadow_router/domain/fake_store.h"

namespace crossover::router {
namespace {

constexpr char kSlowRoute[] = "projects/default/routes/sorter";
constexpr char kSlowName[] = "projects/default/experiments/e1";
constexpr char kSlowRun[] = "projects/default/runs/06b";

// Says what it knows after `meanwhile`.
class SlowEvaluations final : public Evaluations {
 public:
  absl::StatusOr<std::vector<std::string>> SystemsOf(const std::string&) override {
    ++asked;
    meanwhile();
    return systems;
  }

  std::function<void()> meanwhile = [] {};
  std::vector<std::string> systems;
  int asked = 0;
};

class StartUnlockedTest : public ::testing::Test {
 protected:
  StartUnlockedTest() {
    catalog_.Put("projects/default/upstreams/u",
                 UpstreamInfo{.name = "u", .base_url = "http://u/v1"});
    auto spec = std::make_shared<prompt::PromptSpec>();
    spec->messages = {{"user", "{{input}}"}};
    catalog_.Put("prompts/p1",
                 PromptInfo{.digest = "sha256:1", .version = "", .evaluated = false, .spec = spec});
    Route route{.name = kSlowRoute, .primary = "old", .salt = "s", .shadow_salt = "t"};
    for (const char* name : {"old", "new"}) {
      route.variants[name] = {.prompt_version = "prompts/p1",
                              .model = {.model = name, .upstream = "projects/default/upstreams/u"}};
    }
    EXPECT_OK(store_.CreateRoute(route, "", clock_.Now()));
    Experiment experiment{
        .name = kSlowName, .route = kSlowRoute, .baseline = "old", .candidate = "new"};
    experiment.evaluation = kSlowRun;
    experiment.steps = {{1, absl::Seconds(30), 10}};
    EXPECT_OK(store_.CreateExperiment(experiment, "", clock_.Now()));
    evaluations_.systems = {SystemDigest(store_.GetRoute(kSlowRoute)->variants.at("new"))};
  }

  absl::StatusOr<Experiment> Start() {
    return control_.Do(kSlowName, Verb::kStart, "ann", /*reason=*/"");
  }

  FakeClock clock_;
  FakeLogger logger_;
  FakeRouterStore store_;
  FakeCatalog catalog_;
  RoutingTableHolder table_;
  SlowEvaluations evaluations_;
  ExperimentControl control_{{store_, catalog_, clock_, logger_, table_, {}, &evaluations_}};
};

TEST_F(StartUnlockedTest, ATickDoesNotWaitForTheEvaluationService) {
  std::future<absl::Status> tick;
  evaluations_.meanwhile = [&] {
    tick = std::async(std::launch::async, [&] { return control_.Tick(); });
    EXPECT_EQ(tick.wait_for(std::chrono::seconds(20)), std::future_status::ready)
        << "the tick waits for the start";
  };
  ASSERT_OK(Start().status());
  EXPECT_EQ(evaluations_.asked, 1);
  EXPECT_OK(tick.get());
}

TEST_F(StartUnlockedTest, WhatIsChangedMeanwhileIsCheckedAnew) {
  evaluations_.meanwhile = [&] {
    if (evaluations_.asked > 1) return;
    Experiment changed = *store_.GetExperiment(kSlowName);
    changed.budgets.tokens_per_day = 77;
    ASSERT_OK(store_.UpdateExperiment(changed, clock_.Now()));
  };
  ASSERT_OK_AND_ASSIGN(const Experiment started, Start());
  EXPECT_EQ(started.state, ExperimentState::kCalibrating);
  EXPECT_EQ(started.budgets.tokens_per_day, 77);
  EXPECT_EQ(evaluations_.asked, 2);
}

TEST_F(StartUnlockedTest, WhatRunsAlreadyAsksNobody) {
  ASSERT_OK(Start().status());
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(evaluations_.asked, 1);
}

}  // namespace
}  // namespace crossover::router
