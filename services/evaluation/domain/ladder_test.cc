// Ladders and decisions over fakes, from the first rung to the signature.
#include <atomic>

#include <gtest/gtest.h>

#include "common/id/random.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/evaluation/domain/decisions.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/domain/fake_store.h"
#include "services/evaluation/domain/ladders.h"
#include "services/evaluation/domain/run_executor.h"
#include "services/evaluation/domain/test_data.h"

namespace crossover::evaluation {
namespace {

using ::testing::HasSubstr;

// The model "p<k>" is right on k of 100 rows.
absl::StatusOr<Reply> PercentAnswer(const System& system, const SuiteRow& row, int) {
  int percent = std::stoi(system.model.substr(1));
  int number = std::stoi(row.messages.substr(row.messages.find("question ") + 9));
  return Reply{.output = number % 100 < percent ? row.expected : "{}",
               .finish_reason = "stop",
               .usage = {.input = 2500, .output = 20},
               .latency_seconds = 0.3};
}

class LadderTest : public ::testing::Test {
 protected:
  LadderTest() {
    facts_.task.name = "projects/default/tasks/t";
    facts_.task.target_score = 0.9;
    runner_.SetPrices({.known = true, .input = 10, .cached_input = 10, .output = 30});
    dev_ = Freeze(400, SuiteRole::kDev);
    test_ = Freeze(200, SuiteRole::kTest);
  }
  std::string Freeze(int rows, SuiteRole role) {
    return suites_.Freeze({.suite = TestSuite(role), .inline_rows = TestRows(rows)})->name;
  }

  Ladder Make(std::vector<std::string> models) {
    Ladder ladder{.project = "projects/default",
                  .task = facts_.task.name,
                  .dev_suite = dev_,
                  .test_suite = test_};
    const RungKind kKinds[] = {RungKind::kSystemPrompt, RungKind::kFewShot, RungKind::kFewShot,
                               RungKind::kFewShot};
    for (size_t i = 0; i < models.size(); ++i)
      ladder.rungs.push_back({.kind = kKinds[i], .system = TestSystem(models[i])});
    return ladder;
  }

  // Climbs to the end.
  Ladder Climb(const std::string& name) {
    for (int step = 0; step < 100; ++step) {
      EXPECT_OK(ladders_.AdvanceAll());
      auto claimed = store_.ClaimRun("worker", absl::Seconds(30));
      if (claimed.ok() && *claimed) {
        EXPECT_OK(executor_.Execute(*FromDocument<evaluation::Run>(**claimed), "worker", stop_));
      }
      Ladder ladder = *ladders_.Get(name);
      if (ladder.state != LadderState::kRunning) return ladder;
    }
    ADD_FAILURE() << "the ladder does not end";
    return *ladders_.Get(name);
  }

  FakeClock clock_;
  FakeRandom random_;
  UuidGenerator ids_{clock_, random_};
  FakeStore store_{clock_};
  FakeRunner runner_{PercentAnswer};
  FakeRows rows_{{}};
  FakeFacts facts_;
  Suites suites_{store_, rows_, clock_};
  Runs runs_{store_, runner_, facts_, clock_, ids_};
  Ladders ladders_{store_, runs_, facts_, clock_, ids_};
  Decisions decisions_{store_, runs_, facts_, clock_, ids_};
  RunExecutor executor_{store_, runner_, clock_, {}};
  std::atomic<bool> stop_ = false;
  std::string dev_, test_;
};

TEST_F(LadderTest, StopsAtTheFirstRungThatMeetsTheTargetAndReadsTestRowsOnce) {
  Ladder ladder = Climb(ladders_.Create(Make({"p40", "p92", "p95"}), {})->name());
  EXPECT_EQ(ladder.state, LadderState::kMet);
  EXPECT_EQ(ladder.chosen, 1);
  EXPECT_FALSE(ladder.rungs[2].dev.has_value());
  EXPECT_NEAR(ladder.rungs[1].gain->point, 0.52, 1e-12);
  EXPECT_TRUE(ladder.rungs[1].test.has_value());
  EXPECT_FALSE(ladder.rungs[0].test.has_value());
  EXPECT_EQ(*suites_.TimesUsed(*suites_.Get(test_)), 1);
}

TEST_F(LadderTest, ConvergedGainsBelowTheTargetAreACeiling) {
  Ladder ladder = Climb(ladders_.Create(Make({"p60", "p61", "p61"}), {})->name());
  // p61 twice is one system: the second cannot be told apart, so the gains are those of 61 over 60
  // and of none.
  EXPECT_EQ(ladder.converged.status, EvidenceStatus::kUnknown) << ladder.converged.value;
  EXPECT_EQ(ladder.state, LadderState::kNotEnoughEvidence);
  facts_.task.target_score = 0.95;
  ladder = Climb(ladders_.Create(Make({"p60", "p60", "p60"}), {})->name());
  EXPECT_EQ(ladder.state, LadderState::kCeiling) << ladder.converged.value;
}

TEST_F(LadderTest, ClimbAllGoesOnAfterTheTarget) {
  Ladder asked = Make({"p92", "p95"});
  asked.climb_all = true;
  Ladder ladder = Climb(ladders_.Create(asked, {})->name());
  EXPECT_EQ(ladder.state, LadderState::kMet);
  EXPECT_EQ(ladder.chosen, 1);
}

TEST_F(LadderTest, SearchMayNotReadTestRows) {
  Ladder ladder = Make({"p50"});
  ladder.dev_suite = test_;
  EXPECT_THAT(ladders_.Create(ladder, {}), HasReasonThat("FIELD_INVALID"));
  ladder.dev_suite = "projects/default/suites/none/versions/x";
  EXPECT_THAT(ladders_.Create(ladder, {}), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_F(LadderTest, CancelEndsTheClimbAndItsRun) {
  std::string name = ladders_.Create(Make({"p50", "p60"}), {})->name();
  ASSERT_OK(ladders_.Advance(name));
  ASSERT_OK(ladders_.Cancel(name));
  Ladder ladder = *ladders_.Get(name);
  EXPECT_EQ(ladder.state, LadderState::kCancelled);
  EXPECT_EQ(runs_.Get(ladder.rungs[0].run)->state, RunState::kCancelled);
}

TEST_F(LadderTest, SaysWhichPausedRunItWaitsFor) {
  std::string name = ladders_.Create(Make({"p50", "p60"}), {})->name();
  ASSERT_OK(ladders_.AdvanceAll());
  std::string run = ladders_.Get(name)->rungs[0].run;
  ASSERT_OK(runs_.Pause(run));
  ASSERT_OK(ladders_.AdvanceAll());
  Ladder ladder = *ladders_.Get(name);
  EXPECT_EQ(ladder.state, LadderState::kRunning);
  EXPECT_THAT(ladder.state_reason, HasSubstr(run + ", which is PAUSED"));
  EXPECT_THAT(ladders_.Advance(name), IsOkAndHolds(false)) << "said once";
  ASSERT_OK(runs_.Resume(run, std::nullopt));
  ASSERT_OK(ladders_.AdvanceAll());
  EXPECT_EQ(ladders_.Get(name)->state_reason, "");
}

TEST_F(LadderTest, AnUnknownModelIsRefusedBeforeAnythingClimbs) {
  const auto refused = ladders_.Create(Make({"p50", "unknown"}), {});
  EXPECT_THAT(refused, HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_THAT(refused.status().ToString(), HasSubstr("ladder.rungs[1].system: no model 'unknown'"));
  EXPECT_TRUE(store_.List({.kind = kLadderKind})->empty());
}

TEST_F(LadderTest, AModelThatGoesAwayFailsTheLadderWithItsName) {
  const std::string name = ladders_.Create(Make({"p50"}), {})->name();
  runner_.unknown_model = "p50";
  Ladder ladder = Climb(name);
  EXPECT_EQ(ladder.state, LadderState::kFailed);
  EXPECT_THAT(ladder.state_reason, HasSubstr("p50"));
}

TEST_F(LadderTest, DecisionGathersEvidenceFromLadderTaskAndData) {
  TaskRecord& task = facts_.task;
  task.owner = "ana";
  task.retraining_plan = "quarterly";
  task.has_output_contract = true;
  task.requests_per_day = 3000;
  task.developer_hours = 8;
  task.serving = {.known = true, .input = 0.1, .cached_input = 0.1, .output = 0.3};
  task.prompt_unchanged_since = clock_.Now() - absl::Hours(24 * 30);
  DataEvidence data;
  data.clean_rows = {1500, EvidenceSource::kMeasured};
  data.label_errors = {{{.point = 0.01, .lower = 0, .upper = 0.02}, EvidenceSource::kMeasured}};
  data.coverage = {{{.point = 0.97, .lower = 0.95, .upper = 0.99}, EvidenceSource::kMeasured}};
  facts_.data = data;
  Climb(ladders_.Create(Make({"p60", "p60", "p60"}), {})->name());
  auto decision = decisions_.Create({.task = task.name}, {});
  ASSERT_OK(decision);
  EXPECT_EQ(decision->verdict.recommendation, Recommendation::kFineTune)
      << decision->verdict.reasons.front();
  EXPECT_NEAR(decision->verdict.roi.monthly_before, 90'000 * (2500 * 10e-6 + 20 * 30e-6), 1e-6);
  EXPECT_GT(decision->verdict.roi.saving_per_month, 1000);
  // Tokens are measured; every amount of money rests on a declared price or volume.
  for (const RoiItem& item : decision->verdict.roi.items)
    EXPECT_NE(item.source, EvidenceSource::kMeasured) << item.name;
  const RoiItem& tuned = decision->verdict.roi.items.back();
  EXPECT_EQ(tuned.name, "tuned_serving");
  EXPECT_EQ(tuned.source, EvidenceSource::kDeclared);
  EXPECT_THAT(tuned.explanation, HasSubstr("measured tokens at the declared price"));
  for (const Evidence& item : decision->verdict.evidence) {
    if (item.condition == "spend" || item.condition == "tokens_per_month") {
      EXPECT_EQ(item.source, EvidenceSource::kDeclared) << item.condition;
    }
  }
  EXPECT_EQ(decision->verdict.questions.size(), 5u);
  auto stored = decisions_.Get(decision->name());
  ASSERT_OK(stored);
  EXPECT_EQ(stored->verdict.evidence.size(), decision->verdict.evidence.size());
  EXPECT_EQ(stored->verdict.thresholds, decision->verdict.thresholds);
}

TEST_F(LadderTest, ADeclaredSpendBesideAReckonedCostIsSaidToBeOne) {
  TaskRecord& task = facts_.task;
  task.requests_per_day = 3000;
  task.developer_hours = 8;
  task.monthly_spend = 5000;
  task.serving = {.known = true,
                  .input = 0.1,
                  .cached_input = 0.1,
                  .output = 0.3,
                  .origin = "the project's price list"};
  Climb(ladders_.Create(Make({"p60", "p60", "p60"}), {})->name());
  auto decision = decisions_.Create({.task = task.name}, {});
  ASSERT_OK(decision);
  EXPECT_EQ(decision->verdict.roi.monthly_before, 5000);
  const auto words = [&](const std::string& name) -> std::string {
    for (const RoiItem& item : decision->verdict.roi.items) {
      if (item.name == name) return item.explanation;
    }
    return "";
  };
  EXPECT_THAT(words("prompt_serving"), HasSubstr("declared as monthly_spend and not measured"));
  EXPECT_THAT(words("prompt_serving"),
              HasSubstr("reckoned alike the best prompt costs 2304.00 USD a month (measured tokens "
                        "at the declared price"));
  EXPECT_THAT(words("tuned_serving"), HasSubstr("(the project's price list)"));
  const std::string& saving = decision->verdict.questions.back().answer;
  EXPECT_THAT(saving, HasSubstr("Before is a month, declared as monthly_spend"));
  EXPECT_THAT(saving, HasSubstr("After is a month: the plain prompt's measured tokens"));
}

TEST_F(LadderTest, WhereOnlyPricesAreMissingTheDeclaredVolumeIsNotAskedFor) {
  facts_.task.requests_per_day = 3000;
  facts_.task.developer_hours = 8;
  runner_.SetPrices({});
  Climb(ladders_.Create(Make({"p60", "p60", "p60"}), {})->name());
  auto decision = decisions_.Create({.task = facts_.task.name}, {});
  ASSERT_OK(decision);
  EXPECT_FALSE(decision->verdict.roi_known);
  EXPECT_EQ(decision->verdict.questions.back().answer,
            "Unknown; missing: what the prompt costs (declared.monthly_spend, or prices of the "
            "project or the upstream); the price of a token on your own machines (the project's "
            "price_list.serving, or declared.monthly_spend with volume.tokens_per_month).");
  facts_.task.developer_hours.reset();
  facts_.task.requests_per_day = 0;
  facts_.task.monthly_spend = 5000;
  facts_.task.tokens_per_month = 1e6;
  decision = decisions_.Create({.task = facts_.task.name}, {});
  ASSERT_OK(decision);
  EXPECT_EQ(decision->verdict.questions.back().answer,
            "Unknown; missing: developer hours (declared.developer_hours); the volume "
            "(volume.requests_per_day).");
}

TEST_F(LadderTest, WaiverDecidesAgainAndSignatureClosesTheDecision) {
  auto decision = decisions_.Create({.task = facts_.task.name}, {});
  ASSERT_OK(decision);
  EXPECT_EQ(decision->verdict.recommendation, Recommendation::kWait);
  EXPECT_THAT(decisions_.Waive(decision->name(), "owner", "ana", ""),
              HasReasonThat("FIELD_REQUIRED"));
  EXPECT_THAT(decisions_.Waive(decision->name(), "moon", "ana", "because"),
              HasReasonThat("FIELD_INVALID"));
  auto waived = decisions_.Waive(decision->name(), "owner", "ana", "a one-week experiment");
  ASSERT_OK(waived);
  for (const Evidence& item : waived->verdict.evidence) {
    if (item.condition == "owner") {
      EXPECT_EQ(item.status, EvidenceStatus::kWaived);
    }
  }
  ASSERT_OK(decisions_.Sign(decision->name(), "ana", ""));
  EXPECT_THAT(decisions_.Veto(decision->name(), "bob", "no"), HasReasonThat("DECISION_CLOSED"));
  EXPECT_THAT(decisions_.Waive(decision->name(), "owner", "ana", "again"),
              HasReasonThat("DECISION_CLOSED"));
  auto reopened = decisions_.Reopen(decision->name(), "new_base_model");
  ASSERT_OK(reopened);
  EXPECT_EQ(reopened->state, DecisionState::kReopened);
  EXPECT_EQ(reopened->trigger, "new_base_model");
  ASSERT_OK(decisions_.Veto(decision->name(), "bob", "no"));
}

}  // namespace
}  // namespace crossover::evaluation
