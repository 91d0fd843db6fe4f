// The state machine as a table, and the control that drives it by a fake clock over the fake store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/json/digest.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/shadow_router/domain/control.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/domain/record_json.h"

namespace crossover::router {
namespace {

using State = ExperimentState;
using ::testing::HasSubstr;

constexpr char kRoute[] = "projects/default/routes/sorter";
constexpr char kName[] = "projects/default/experiments/e1";

Experiment In(State state) {
  Experiment experiment{.name = kName, .route = kRoute, .baseline = "old", .candidate = "new"};
  experiment.state = state;
  experiment.paused_from = State::kShadow;
  return experiment;
}

Verdict Good() {
  Verdict verdict{.pairs = 5'000, .deciding = 5'000, .calibration_pairs = 500, .quality_ok = true};
  verdict.theta = {.point = -0.1, .lower = -0.12, .upper = -0.08, .n = 5'000};
  return verdict;
}

Progress Plenty() {
  return {.ledger = {.eligible = 6'000, .sampled = 6'000, .paired = 6'000}, .step_requests = 1'000};
}

TEST(PolicyTest, EveryStateMovesOnWhenItsConditionsHold) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const auto next = [&](State state, int step = 0) {
    Experiment experiment = In(state);
    experiment.step = step;
    experiment.state_time = now - absl::Hours(24 * 30);
    return Decide(experiment, Good(), Plenty(), now);
  };
  EXPECT_EQ(next(State::kCalibrating)->to, State::kShadow);
  EXPECT_EQ(next(State::kShadow)->to, State::kCanary);
  EXPECT_EQ(next(State::kCanary, 2)->to, State::kCanary);
  EXPECT_EQ(next(State::kCanary, 2)->step, 3);
  EXPECT_EQ(next(State::kCanary, 4)->to, State::kPromoted);
  EXPECT_EQ(next(State::kPromoted)->to, State::kReverseShadow);
  EXPECT_EQ(next(State::kReverseShadow)->to, State::kCompleted);
  for (State state :
       {State::kDraft, State::kCompleted, State::kRolledBack, State::kPaused, State::kAborted}) {
    EXPECT_EQ(next(state), std::nullopt) << ToString(state);
  }
}

TEST(PolicyTest, TooLittleTimeTrafficCoverageOrEvidenceWaits) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  Experiment shadow = In(State::kShadow);
  shadow.state_time = now - absl::Hours(24 * 8);
  ASSERT_TRUE(Decide(shadow, Good(), Plenty(), now));
  shadow.state_time = now - absl::Hours(24 * 6);
  EXPECT_FALSE(Decide(shadow, Good(), Plenty(), now));
  shadow.state_time = now - absl::Hours(24 * 8);
  Verdict few = Good();
  few.deciding = 999;
  EXPECT_FALSE(Decide(shadow, few, Plenty(), now));
  Progress holes = Plenty();
  holes.ledger.sampled = 10'000;
  EXPECT_FALSE(Decide(shadow, Good(), holes, now));
  Verdict unsure = Good();
  unsure.quality_ok = false;
  EXPECT_FALSE(Decide(shadow, unsure, Plenty(), now));
  Experiment canary = In(State::kCanary);
  canary.state_time = now - absl::Hours(2);
  ASSERT_TRUE(Decide(canary, Good(), Plenty(), now));
  Progress quiet = Plenty();
  quiet.step_requests = 199;
  EXPECT_FALSE(Decide(canary, Good(), quiet, now));
}

TEST(PolicyTest, HarmRollsBackFromEveryStateThatHasTrafficPausedToo) {
  Verdict harm = Good();
  harm.roll_back = true;
  harm.tests.push_back({.name = "gate.error_rate", .fired = true, .words = "9 of 9"});
  for (State state :
       {State::kShadow, State::kCanary, State::kPromoted, State::kReverseShadow, State::kPaused}) {
    const auto move = Decide(In(state), harm, {}, absl::FromUnixSeconds(1));
    ASSERT_TRUE(move) << ToString(state);
    EXPECT_EQ(move->to, State::kRolledBack);
    EXPECT_THAT(move->words, HasSubstr("gate.error_rate"));
  }
  EXPECT_FALSE(Decide(In(State::kDraft), harm, {}, absl::FromUnixSeconds(1)));
}

TEST(PolicyTest, APrimaryThatDiffersFromItselfStopsCalibration) {
  Verdict verdict = Good();
  verdict.calibration_fired = true;
  EXPECT_EQ(Decide(In(State::kCalibrating), verdict, Plenty(), absl::FromUnixSeconds(1))->to,
            State::kPaused);
}

TEST(PolicyTest, VerbsAreAllowedWhereTheTableSaysSo) {
  struct Row {
    State state;
    std::set<Verb> allowed;
  };
  const std::set<Verb> active = {Verb::kAdvance, Verb::kPause, Verb::kRollback, Verb::kAbort};
  const std::vector<Row> table = {
      {State::kDraft, {Verb::kStart, Verb::kAbort}},
      {State::kCalibrating, active},
      {State::kShadow, active},
      {State::kCanary, active},
      {State::kPromoted, active},
      {State::kReverseShadow, active},
      {State::kPaused, {Verb::kResume, Verb::kRollback, Verb::kAbort}},
      {State::kCompleted, {}},
      {State::kRolledBack, {}},
      {State::kAborted, {}},
  };
  for (const Row& row : table) {
    for (Verb verb : {Verb::kStart, Verb::kAdvance, Verb::kPause, Verb::kResume, Verb::kRollback,
                      Verb::kAbort}) {
      const auto move = Apply(In(row.state), {}, verb, "because");
      EXPECT_EQ(move.ok(), row.allowed.contains(verb))
          << ToString(row.state) << " " << ToString(verb);
      if (!move.ok()) {
        EXPECT_THAT(move, HasReasonThat("STATE_INVALID"));
      }
    }
  }
  EXPECT_THAT(Apply(In(State::kShadow), {}, Verb::kAdvance, ""), HasReasonThat("FIELD_REQUIRED"));
  Verdict harm;
  harm.roll_back = true;
  EXPECT_THAT(Apply(In(State::kShadow), harm, Verb::kAdvance, "hurry"),
              HasReasonThat("GATE_NOT_MET"));
}

TEST(ExperimentTest, SettingsSurviveTheirJson) {
  Experiment experiment = In(State::kDraft);
  experiment.comparators = {
      {.kind = ComparatorSpec::Kind::kJson, .fields = {"a"}, .tolerance = 0.5}};
  experiment.steps = {{0.5, absl::Seconds(3), 4}, {1, absl::ZeroDuration(), 0}};
  experiment.budgets = {5, 1.5};
  NoteLoweredMinima("demo", "ann", absl::FromUnixSeconds(5), experiment);
  ASSERT_EQ(experiment.overrides.size(), 3);
  EXPECT_EQ(experiment.overrides[2].name, "steps");
  EXPECT_EQ(experiment.overrides[2].value, "50 %, 100 %");
  Experiment read;
  ASSERT_OK(SettingsFromJson(SettingsToJson(experiment), read));
  EXPECT_EQ(SettingsToJson(read), SettingsToJson(experiment));
  EXPECT_EQ(read.steps, experiment.steps);
  EXPECT_EQ(read.overrides, experiment.overrides);
}

class ControlTest : public ::testing::Test {
 protected:
  ControlTest() {
    catalog_.Put("projects/default/upstreams/u",
                 UpstreamInfo{.name = "u", .base_url = "http://u/v1"});
    auto spec = std::make_shared<prompt::PromptSpec>();
    spec->messages = {{"user", "{{input}}"}};
    catalog_.Put("prompts/p1",
                 PromptInfo{.digest = "sha256:1", .version = "", .evaluated = true, .spec = spec});
    Route route{.name = kRoute, .primary = "old", .salt = "s", .shadow_salt = "t"};
    for (const char* name : {"old", "new"}) {
      route.variants[name] = {.prompt_version = "prompts/p1",
                              .model = {.model = name, .upstream = "projects/default/upstreams/u"}};
    }
    EXPECT_OK(store_.CreateRoute(route, "", clock_.Now()));
    Experiment experiment = In(State::kDraft);
    experiment.minima = {.calibration_duration = absl::ZeroDuration(),
                         .calibration_pairs = 20,
                         .shadow_duration = absl::Minutes(1),
                         .shadow_pairs = 100,
                         .reverse_duration = absl::Minutes(5)};
    experiment.steps = {{0.1, absl::Seconds(30), 10}, {1, absl::Seconds(30), 10}};
    EXPECT_OK(store_.CreateExperiment(experiment, "", clock_.Now()));
  }

  Experiment Now() { return *store_.GetExperiment(kName); }

  // `count` pairs of the experiment's present comparison: graded by label.
  void Traffic(int count, double primary_loss, double candidate_loss) {
    const Experiment experiment = Now();
    const bool calibrating = experiment.state == State::kCalibrating;
    for (int i = 0; i < count; ++i) {
      const LedgerKey key = books_.Sampled(kName, experiment.comparison);
      Pair pair{.id = "p" + std::to_string(++pairs_),
                .experiment = kName,
                .comparison = experiment.comparison};
      pair.cluster = pair.id;
      pair.self_compare = calibrating;
      pair.legs = {{.role = LegRole::kPrimary, .system_fingerprint = "fp-old"},
                   {.role = LegRole::kCandidate, .system_fingerprint = fingerprint_}};
      pair.comparisons = {{.comparator = "text", .equal = primary_loss == candidate_loss}};
      pair.grades = {{.source = GradeSource::kLabel,
                      .primary_loss = primary_loss,
                      .candidate_loss = calibrating ? primary_loss : candidate_loss}};
      books_.Paired(key, 100, std::move(pair));
      const int weight = table_.Get()->Find("sorter")->plan.canary_weight;
      if (weight > 0) books_.Served({kName, experiment.comparison, weight}, /*canary=*/true, {});
    }
    EXPECT_OK(store_.Flush(books_.Take()));
  }
  // "cat" by the primary, "dog" by the candidate, and then "Dog" was right.
  void LateLabel() {
    const LedgerKey key = books_.Sampled(kName, 1);
    Pair pair{.id = "late",
              .experiment = kName,
              .comparison = 1,
              .request_id = "late",
              .completion_id = "chatcmpl-1",
              .cluster = "c"};
    for (const auto& [role, text] :
         {std::pair(LegRole::kPrimary, "cat"), std::pair(LegRole::kCandidate, "dog")}) {
      pair.legs.push_back({.role = role,
                           .output = text,
                           .output_digest = DigestOf(text),
                           .output_is_complete = true});
    }
    pair.comparisons = {{.comparator = "text"}};
    books_.Paired(key, 1, pair);
    EXPECT_OK(store_.Flush(books_.Take()));
    EXPECT_OK(store_.AddFeedback({.id = "f",
                                  .project = "projects/default",
                                  .inference_id = "chatcmpl-1",
                                  .name = "demonstration",
                                  .value = "\"Dog\""}));
  }
  void Tick(absl::Duration after = absl::Seconds(31)) {
    clock_.Advance(after);
    EXPECT_OK(control_.Tick());
  }

  FakeClock clock_;
  FakeLogger logger_;
  FakeRouterStore store_;
  FakeCatalog catalog_;
  RoutingTableHolder table_;
  Books books_{"i", "1", clock_};
  FakeEvaluations evaluations_;
  ExperimentControl control_{{store_, catalog_, clock_, logger_, table_, {}, &evaluations_}};
  std::string fingerprint_ = "fp-new";
  int pairs_ = 0;
};

TEST_F(ControlTest, ABetterCandidateGoesAllTheWayAndEveryTransitionIsOnRecord) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  EXPECT_EQ(Now().state, State::kCalibrating);
  EXPECT_TRUE(table_.Get()->Find("sorter")->plan.self_compare);
  Traffic(20, 1, 1);
  Tick();
  EXPECT_EQ(Now().state, State::kShadow);
  Traffic(400, 1, 0);
  Tick();
  EXPECT_EQ(Now().state, State::kShadow) << "the minimum duration is not over";
  Tick();
  EXPECT_EQ(Now().state, State::kCanary);
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.canary_weight, 1'000);
  Tick();
  EXPECT_EQ(Now().step, 0) << "nobody was served by the candidate yet";
  Traffic(10, 1, 0);
  Tick();
  EXPECT_EQ(Now().step, 1);
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.canary_weight, 10'000);
  Traffic(10, 1, 0);
  Tick();
  EXPECT_EQ(Now().state, State::kPromoted);
  EXPECT_EQ(store_.GetRoute(kRoute)->primary, "new");
  Tick();
  EXPECT_EQ(Now().state, State::kReverseShadow);
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.reference, "old");
  Tick(absl::Minutes(6));
  EXPECT_EQ(Now().state, State::kCompleted);
  EXPECT_EQ(store_.GetRoute(kRoute)->experiment, "");
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.experiment, "");

  const auto transitions = *store_.ListTransitions(kName);
  ASSERT_EQ(transitions.size(), 7);
  for (size_t i = 0; i < transitions.size(); ++i) {
    EXPECT_EQ(transitions[i].sequence, static_cast<int64_t>(i) + 1);
    EXPECT_FALSE(transitions[i].words.empty());
    EXPECT_THAT(transitions[i].statistics, HasSubstr("theta"));
  }
  EXPECT_EQ(transitions[0].actor, "ann");
  EXPECT_EQ(transitions[1].actor, "crossover");
}

TEST_F(ControlTest, AWorseCandidateIsRolledBackInTheShadow) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  Traffic(20, 0, 0);
  Tick();
  Traffic(200, 0, 1);
  Tick();
  EXPECT_EQ(Now().state, State::kRolledBack);
  EXPECT_EQ(store_.GetRoute(kRoute)->primary, "old");
  EXPECT_THAT(store_.ListTransitions(kName)->back().words, HasSubstr("quality.mcnemar"));
}

TEST_F(ControlTest, RollbackAfterPromotionIsOneCommandToTheWarmPrimary) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  for (int i = 0; i < 4; ++i) ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "demo"));
  EXPECT_EQ(Now().state, State::kPromoted);
  EXPECT_EQ(store_.GetRoute(kRoute)->primary, "new");
  ASSERT_OK(control_.Do(kName, Verb::kRollback, "ann", "users complain"));
  EXPECT_EQ(store_.GetRoute(kRoute)->primary, "old");
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.experiment, "");
  EXPECT_EQ(Now().state, State::kRolledBack);
}

TEST_F(ControlTest, AdvancingByHandIsRecordedByTheNameOfWhatWasOverridden) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "it is a demo"));
  EXPECT_EQ(Now().state, State::kShadow);
  ASSERT_EQ(Now().overrides.size(), 1);
  EXPECT_EQ(Now().overrides[0].name, "calibration_pairs");
  EXPECT_THAT(control_.Explain(kName)->words, HasSubstr("Overridden by ann: calibration_pairs"));
}

TEST_F(ControlTest, AnUnevaluatedCandidateNeedsAReason) {
  Route route = *store_.GetRoute(kRoute);
  route.variants["new"].prompt_version = "";
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  EXPECT_THAT(control_.Do(kName, Verb::kStart, "ann", ""),
              HasReasonThat("CANDIDATE_NOT_EVALUATED"));
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", "measured by hand"));
  EXPECT_EQ(Now().overrides.at(0).name, "evaluation");
}

TEST_F(ControlTest, AChangedPromptOrModelOpensANewComparison) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  Traffic(20, 1, 1);
  Tick();
  Traffic(50, 1, 0);
  Tick();
  EXPECT_EQ(control_.Explain(kName)->verdict.deciding, 50);
  Route route = *store_.GetRoute(kRoute);
  route.variants["new"].sampling["temperature"] = "0.7";
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  Tick();
  EXPECT_EQ(Now().comparison, 2);
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.comparison, 2);
  EXPECT_EQ(control_.Explain(kName)->verdict.deciding, 0);
  EXPECT_EQ(control_.Explain(kName, 1)->verdict.deciding, 50) << "the old one can still be read";
  Traffic(5, 1, 0);
  Tick();
  EXPECT_EQ(Now().comparison, 2);
  fingerprint_ = "another build";
  Traffic(5, 1, 0);
  Tick();
  EXPECT_EQ(Now().comparison, 3);
}

TEST_F(ControlTest, AnEditThatChangesNoAnswerKeepsTheComparison) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  Route route = *store_.GetRoute(kRoute);
  route.labels["team"] = "x";
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  Tick();
  EXPECT_EQ(Now().comparison, 1);
}

TEST_F(ControlTest, TheEvidenceIsTheSameAfterARestart) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  Traffic(20, 1, 1);
  Tick();
  Traffic(60, 1, 0);
  Traffic(20, 0, 1);
  const auto before = control_.Explain(kName)->verdict.theta;
  ExperimentControl restarted({store_, catalog_, clock_, logger_, table_, {}});
  EXPECT_EQ(restarted.Explain(kName)->verdict.theta, before);
}

TEST_F(ControlTest, TwoDecidersCannotBothMoveAnExperiment) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  const Experiment read = Now();
  ASSERT_OK(control_.Do(kName, Verb::kPause, "ann", ""));
  Transition late{.experiment = kName, .sequence = read.transitions + 1, .to = State::kShadow};
  EXPECT_THAT(store_.ApplyTransition(read, late, ""), HasReasonThat("ETAG_MISMATCH"));
}

TEST_F(ControlTest, PausingAfterThePromotionLeavesTheCandidateThePrimary) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  for (int i = 0; i < 4; ++i) ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "demo"));
  ASSERT_EQ(Now().state, State::kPromoted);
  ASSERT_OK(control_.Do(kName, Verb::kPause, "ann", ""));
  EXPECT_EQ(store_.GetRoute(kRoute)->primary, "new");
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.canary_weight, kBuckets);
  ASSERT_OK(control_.Do(kName, Verb::kResume, "ann", ""));
  EXPECT_EQ(store_.GetRoute(kRoute)->primary, "new");
}

TEST_F(ControlTest, AMoveDoesNotUndoSettingsThatChangedMeanwhile) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  store_.BeforeNextTransition([&] {
    Experiment changed = Now();
    changed.budgets.tokens_per_day = 77;
    ASSERT_OK(store_.UpdateExperiment(changed, clock_.Now()));
  });
  ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "x"));
  EXPECT_EQ(Now().state, State::kShadow);
  EXPECT_EQ(Now().budgets.tokens_per_day, 77);
}

TEST_F(ControlTest, AnEvaluationIsNamedAndAReasonIsRecordedOnlyWhereThereIsNone) {
  Experiment experiment = Now();
  experiment.evaluation = "yes";
  ASSERT_OK(store_.UpdateExperiment(experiment, clock_.Now()));
  EXPECT_THAT(control_.Do(kName, Verb::kStart, "ann", ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("projects/*/runs/*")));
  experiment = Now();
  experiment.evaluation = "projects/default/runs/06b";
  ASSERT_OK(store_.UpdateExperiment(experiment, clock_.Now()));
  EXPECT_THAT(control_.Do(kName, Verb::kStart, "ann", ""),
              AllOf(HasReasonThat("CANDIDATE_NOT_EVALUATED"),
                    StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("was not found"))));
  evaluations_.systems[experiment.evaluation] = {"sha256:another"};
  EXPECT_THAT(control_.Do(kName, Verb::kStart, "ann", ""),
              AllOf(HasReasonThat("CANDIDATE_NOT_EVALUATED"),
                    StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("sha256:another"))));
  const Route route = *store_.GetRoute(kRoute);
  evaluations_.systems[experiment.evaluation].push_back(SystemDigest(route.variants.at("new")));
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", "not needed"));
  EXPECT_TRUE(Now().overrides.empty());
}

TEST_F(ControlTest, AnOutputContractThatCannotBeCheckedStopsTheStart) {
  Route route = *store_.GetRoute(kRoute);
  route.task = "projects/default/tasks/t";
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  TaskInfo task;
  task.contract.json_schema = R"({"type":"object","properties":{"a":{"$ref":"http://x/y.json"}}})";
  catalog_.Put(route.task, task);
  EXPECT_THAT(control_.Do(kName, Verb::kStart, "ann", ""), HasReasonThat("INVALID_SCHEMA"));
  task.contract.json_schema = R"({"type":"object","properties":{"a":{"pattern":"^x+$"}}})";
  catalog_.Put(route.task, task);
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  EXPECT_TRUE(table_.Get()->Find("sorter")->validator.has_value());
}

TEST_F(ControlTest, PausedKeepsTheShareAndResumeGoesOnWhereItWas) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "x"));
  ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "x"));
  EXPECT_EQ(Now().state, State::kCanary);
  ASSERT_OK(control_.Do(kName, Verb::kPause, "ann", ""));
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.canary_weight, 1'000);
  Tick(absl::Hours(100));
  EXPECT_EQ(Now().state, State::kPaused);
  ASSERT_OK(control_.Do(kName, Verb::kResume, "ann", ""));
  EXPECT_EQ(Now().state, State::kCanary);
  EXPECT_EQ(Now().step, 0);
}

TEST_F(ControlTest, ALateLabelBecomesAGradeOfItsPair) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "x"));
  LateLabel();
  Tick();
  const auto theta = control_.Explain(kName)->verdict.theta;
  EXPECT_EQ(theta.n, 1);
  EXPECT_EQ(theta.point, -1);
}

TEST_F(ControlTest, ALateLabelGradesNoToolCallsBecauseAPairDoesNotKeepThem) {
  Experiment experiment = Now();
  experiment.comparators = {{.kind = ComparatorSpec::Kind::kToolCalls}};
  ASSERT_OK(store_.UpdateExperiment(experiment, clock_.Now()));
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "x"));
  LateLabel();
  Tick();
  EXPECT_EQ(control_.Explain(kName)->verdict.theta.n, 0);
}

TEST_F(ControlTest, ExplainSaysWhatIsMissing) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  ASSERT_OK(control_.Do(kName, Verb::kAdvance, "ann", "x"));
  const std::string words = control_.Explain(kName)->words;
  EXPECT_THAT(words, HasSubstr("SHADOW"));
  EXPECT_THAT(words, HasSubstr("not enough evidence"));
  EXPECT_THAT(words, HasSubstr("shadow_duration"));
}

TEST_F(ControlTest, ADraftThatIsAbortedWasNeverStarted) {
  ASSERT_OK(control_.Do(kName, Verb::kAbort, "ann", "its start was refused"));
  const Experiment experiment = Now();
  EXPECT_EQ(experiment.state_reason,
            "Aborted: it was never started. Reason: its start was refused.");
  EXPECT_EQ(experiment.start_time, absl::InfinitePast());
  EXPECT_THAT(control_.Explain(kName)->words, HasSubstr("The experiment is ABORTED: candidate"));
}

TEST_F(ControlTest, AVariantThatDoesNotResolveLeavesTheRouteToItsPrimary) {
  ASSERT_OK(control_.Do(kName, Verb::kStart, "ann", ""));
  Route route = *store_.GetRoute(kRoute);
  route.variants["new"].model.upstream = "projects/default/upstreams/gone";
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  Tick();
  const auto resolved = table_.Get()->Find("sorter");
  EXPECT_OK(resolved->status);
  EXPECT_EQ(resolved->plan.experiment, "");
  EXPECT_EQ(Now().comparison, 1);
  ASSERT_EQ(resolved->problems.size(), 1);
  EXPECT_THAT(std::string(resolved->problems[0].message()), HasSubstr("variant 'new'"));
}

}  // namespace
}  // namespace crossover::router
