// Runs end to end over fakes: asking, resuming, pausing, results and comparisons.
#include <algorithm>
#include <atomic>

#include <gtest/gtest.h>

#include "common/id/random.h"
#include "common/stats/proportion.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/domain/fake_store.h"
#include "services/evaluation/domain/run_executor.h"
#include "services/evaluation/domain/runs.h"
#include "services/evaluation/domain/suites.h"
#include "services/evaluation/domain/test_data.h"

namespace crossover::evaluation {
namespace {

using ::testing::HasSubstr;

// The golden digest of common/prompt/from_proto_test.cc, which a route serves it under.
TEST(SystemTest, IsMeasuredUnderTheDigestItIsServedUnder) {
  const System system =
      WithDigest({.prompt_version = "projects/p/tasks/t/prompts/q/versions/sha256:1",
                  .kind = ModelKind::kAdapter,
                  .model = "sections",
                  .model_digest = "sha256:2",
                  .base_digest = "sha256:3",
                  .sampling = {.temperature = 0.7, .max_tokens = 16},
                  .max_input_tokens = 100,
                  .display_name = "tuned"});
  EXPECT_EQ(system.digest,
            "sha256:2300cfb314999791989268d0dbf330b4a6cf13c7aebffddc2798edded51b6fab");
}

class RunTest : public ::testing::Test {
 protected:
  std::string FreezeRows(int count, SuiteRole role = SuiteRole::kDev) {
    auto suite = suites_.Freeze({.suite = TestSuite(role), .inline_rows = TestRows(count)});
    EXPECT_TRUE(suite.ok()) << suite.status();
    return suite->name;
  }

  evaluation::Run CreateRun(const std::string& suite, std::vector<std::string> models,
                            int repeats = 1) {
    evaluation::Run run{.project = "projects/default",
                        .suite_version = suite,
                        .repeats = repeats,
                        .concurrency = 4};
    for (const std::string& model : models) run.systems.push_back(TestSystem(model));
    auto created = runs_.Create(run, {});
    EXPECT_TRUE(created.ok()) << created.status();
    return *created;
  }

  // Claims and executes what is queued.
  absl::Status Work() {
    auto claimed = store_.ClaimRun("worker", absl::Seconds(30));
    if (!claimed.ok()) return claimed.status();
    if (!*claimed) return absl::OkStatus();
    auto run = FromDocument<evaluation::Run>(**claimed);
    if (!run.ok()) return run.status();
    return executor_.Execute(*run, "worker", stop_);
  }

  FakeClock clock_;
  FakeRandom random_;
  UuidGenerator ids_{clock_, random_};
  FakeStore store_{clock_};
  FakeRunner runner_{
      [this](const System& system, const SuiteRow& row, int repeat) -> absl::StatusOr<Reply> {
        if (trouble_) {
          auto reply = trouble_(system, row, repeat);
          if (!reply.ok()) return reply;
        }
        return TestAnswer(system, row, repeat);
      }};
  FakeRunner::AskFn trouble_;
  FakeRows rows_{{}};
  FakeFacts facts_;
  Suites suites_{store_, rows_, clock_};
  Runs runs_{store_, runner_, facts_, clock_, ids_};
  RunExecutor executor_{
      store_, runner_, clock_, {.attempts = 3, .first_wait = absl::ZeroDuration()}};
  std::atomic<bool> stop_ = false;
};

TEST_F(RunTest, AsksEverythingOnceAndReportsResults) {
  evaluation::Run run = CreateRun(FreezeRows(40), {"bad", "good"}, 2);
  EXPECT_EQ(run.answers_total, 160);
  ASSERT_OK(Work());
  run = *runs_.Get(run.name());
  EXPECT_EQ(run.state, RunState::kSucceeded);
  EXPECT_EQ(runner_.total(), 160);
  EXPECT_EQ(runner_.most(), 1);
  ASSERT_EQ(run.results.size(), 2u);
  EXPECT_EQ(run.results[0].graders[0].score.point, 0);
  EXPECT_EQ(run.results[1].graders[0].score.point, 1);
  EXPECT_EQ(run.results[1].graders[0].score.n, 40) << "rows, not repeats";
  EXPECT_EQ(run.results[1].graders[0].score.method, "wilson");
  EXPECT_EQ(run.results[1].graders[0].passed, 40);
  EXPECT_EQ(run.results[1].graders[0].rows, 40);
  EXPECT_EQ(run.results[1].graders[0].passed_share, stats::Wilson(40, 40));
  EXPECT_EQ(run.results[1].latency.p50.point, 0.1);
  EXPECT_EQ(run.results[0].prompt_tokens, 1000);
  EXPECT_EQ(run.results[1].format_valid->point, 1);
  EXPECT_EQ(run.results[0].graders[0].slices.size(), 2u);
  EXPECT_EQ(run.results[0].graders[0].fields.size(), 2u);
  EXPECT_FALSE(run.results[0].cost_per_request.has_value()) << "no price was declared";
}

TEST_F(RunTest, RepeatsShowFlipsAndPassAll) {
  evaluation::Run run = CreateRun(FreezeRows(20), {"half"}, 4);
  ASSERT_OK(Work());
  SystemResult result = runs_.Get(run.name())->results.at(0);
  EXPECT_EQ(result.graders[0].score.point, 0.75);
  EXPECT_EQ(result.consistency.point, 0.5);
  EXPECT_EQ(result.pass_all.point, 0.5);
  EXPECT_EQ(result.graders[0].slices[0].name, "label=b") << "worst first";
  EXPECT_EQ(result.graders[0].slices[0].score.point, 0.5);
}

TEST_F(RunTest, SecondRunReusesTheAnswersOfTheFirst) {
  std::string suite = FreezeRows(10);
  CreateRun(suite, {"good"});
  ASSERT_OK(Work());
  evaluation::Run second = CreateRun(suite, {"good", "bad"});
  EXPECT_EQ(second.answers_reused, 10);
  ASSERT_OK(Work());
  second = *runs_.Get(second.name());
  EXPECT_EQ(second.state, RunState::kSucceeded);
  EXPECT_EQ(second.answers_reused, 10);
  EXPECT_EQ(runner_.total(), 20);
  EXPECT_EQ(runner_.most(), 1);
}

TEST_F(RunTest, GoesOnAfterACrashWithoutAskingTwice) {
  evaluation::Run run = CreateRun(FreezeRows(30), {"good"});
  std::atomic<int> asked = 0;
  trouble_ = [&](const System&, const SuiteRow&, int) -> absl::StatusOr<Reply> {
    if (++asked == 12) stop_ = true;
    return Reply{};
  };
  ASSERT_OK(Work());
  EXPECT_EQ(runs_.Get(run.name())->state, RunState::kRunning);
  int before = runner_.total();
  EXPECT_LT(before, 30);
  stop_ = false;
  ASSERT_OK(Work());
  EXPECT_EQ(runs_.Get(run.name())->state, RunState::kSucceeded);
  EXPECT_EQ(runner_.total(), 30);
  EXPECT_EQ(runner_.most(), 1);
}

TEST_F(RunTest, ARunWhoseProcessDiedIsClaimedAfterItsClaimExpires) {
  evaluation::Run run = CreateRun(FreezeRows(5), {"good"});
  ASSERT_TRUE(store_.ClaimRun("dead", absl::Seconds(30))->has_value());
  EXPECT_FALSE(store_.ClaimRun("worker", absl::Seconds(30))->has_value());
  clock_.Advance(absl::Seconds(31));
  ASSERT_OK(Work());
  EXPECT_EQ(runs_.Get(run.name())->state, RunState::kSucceeded);
}

TEST_F(RunTest, TheRowsOwnErrorBecomesAWrongAnswer) {
  evaluation::Run run = CreateRun(FreezeRows(4), {"good"});
  trouble_ = [](const System&, const SuiteRow& row, int) -> absl::StatusOr<Reply> {
    if (row.messages.find("question 1") == std::string::npos) return Reply{};
    return Error(absl::StatusCode::kInvalidArgument, "CONTEXT_LENGTH_EXCEEDED", "too long");
  };
  ASSERT_OK(Work());
  SystemResult result = runs_.Get(run.name())->results.at(0);
  EXPECT_EQ(result.errors.at("CONTEXT_LENGTH_EXCEEDED"), 1);
  EXPECT_EQ(result.graders[0].score.point, 0.75);
  EXPECT_EQ(result.latency.p50.n, 3) << "an error has no latency";
}

TEST_F(RunTest, AnErrorIsAskedAgainByALaterRun) {
  std::string suite = FreezeRows(4);
  CreateRun(suite, {"good"});
  trouble_ = [](const System&, const SuiteRow& row, int) -> absl::StatusOr<Reply> {
    if (row.messages.find("question 1") == std::string::npos) return Reply{};
    return Error(absl::StatusCode::kInvalidArgument, "CONTEXT_LENGTH_EXCEEDED", "too long");
  };
  ASSERT_OK(Work());
  trouble_ = nullptr;
  evaluation::Run second = CreateRun(suite, {"good"});
  EXPECT_EQ(second.answers_reused, 3);
  ASSERT_OK(Work());
  second = *runs_.Get(second.name());
  EXPECT_EQ(second.results.at(0).graders[0].score.point, 1);
  EXPECT_EQ(runner_.total(), 5) << "only the failed row";
}

// A model that is not there, an empty purse, a parameter that the upstream does not take: the same
// for every row, so no number is made of it.
TEST_F(RunTest, ASystemWideErrorFailsTheRunAndStoresNoAnswer) {
  for (absl::StatusCode code :
       {absl::StatusCode::kNotFound, absl::StatusCode::kFailedPrecondition,
        absl::StatusCode::kInvalidArgument, absl::StatusCode::kOutOfRange}) {
    std::string suite = FreezeRows(6);
    evaluation::Run run = CreateRun(suite, {"good"});
    trouble_ = [&](const System&, const SuiteRow&, int) -> absl::StatusOr<Reply> {
      return Error(code, "UPSTREAM_REFUSED", "the upstream answered 404: no such model");
    };
    ASSERT_OK(Work());
    run = *runs_.Get(run.name());
    EXPECT_EQ(run.state, RunState::kFailed);
    EXPECT_THAT(run.state_reason, HasSubstr("no such model"));
    EXPECT_EQ(run.answers_done, 0);
    EXPECT_TRUE(
        store_.ListAnswers(run.suite_digest, {run.systems[0].digest}, 1, std::nullopt, 0)->empty());
  }
}

TEST_F(RunTest, ASystemThatIsTooSlowPausesTheRun) {
  evaluation::Run run = CreateRun(FreezeRows(6), {"good"});
  trouble_ = [](const System&, const SuiteRow&, int) -> absl::StatusOr<Reply> {
    return absl::DeadlineExceededError("no answer within 120 s");
  };
  ASSERT_OK(Work());
  run = *runs_.Get(run.name());
  EXPECT_EQ(run.state, RunState::kPaused);
  EXPECT_EQ(run.answers_done, 0);
}

TEST_F(RunTest, AServerThatStaysAwayPausesTheRunAndResumeGoesOn) {
  evaluation::Run run = CreateRun(FreezeRows(6), {"good"});
  trouble_ = [](const System&, const SuiteRow&, int) -> absl::StatusOr<Reply> {
    return absl::UnavailableError("model server is down");
  };
  ASSERT_OK(Work());
  run = *runs_.Get(run.name());
  EXPECT_EQ(run.state, RunState::kPaused);
  EXPECT_THAT(run.state_reason, HasSubstr("model server is down"));
  trouble_ = nullptr;
  ASSERT_OK(runs_.Resume(run.name(), std::nullopt));
  ASSERT_OK(Work());
  EXPECT_EQ(runs_.Get(run.name())->state, RunState::kSucceeded);
}

TEST_F(RunTest, AnErrorThatNoRowExplainsFailsTheRun) {
  evaluation::Run run = CreateRun(FreezeRows(6), {"good"});
  trouble_ = [](const System&, const SuiteRow&, int) -> absl::StatusOr<Reply> {
    return absl::UnauthenticatedError("no key");
  };
  ASSERT_OK(Work());
  EXPECT_EQ(runs_.Get(run.name())->state, RunState::kFailed);
}

TEST_F(RunTest, CostCapPausesAndAHigherCapGoesOn) {
  runner_.SetPrices({.known = true, .input = 1000, .output = 0});  // 10 tokens = 0.01 USD
  std::string suite = FreezeRows(50);
  evaluation::Run run{.project = "projects/default",
                      .suite_version = suite,
                      .systems = {TestSystem("good")},
                      .repeats = 1,
                      .cost_cap = 0.095,
                      .concurrency = 1};
  run = *runs_.Create(run, {});
  ASSERT_OK(Work());
  run = *runs_.Get(run.name());
  EXPECT_EQ(run.state, RunState::kPaused);
  EXPECT_EQ(run.answers_done, 10);
  EXPECT_NEAR(run.cost, 0.1, 1e-9);
  ASSERT_OK(runs_.Resume(run.name(), 10));
  ASSERT_OK(Work());
  run = *runs_.Get(run.name());
  EXPECT_EQ(run.state, RunState::kSucceeded);
  EXPECT_NEAR(run.results[0].cost_per_request->point, 0.01, 1e-12);
}

TEST_F(RunTest, WithoutAPriceListTheDeclaredSpendGivesThePrice) {
  facts_.task.name = "projects/default/tasks/t";
  facts_.task.monthly_spend = 300;
  facts_.task.tokens_per_month = 1.5e9;  // 0.2 USD a million
  evaluation::Run run = CreateRun(FreezeRows(4), {"good"});
  ASSERT_OK(Work());
  EXPECT_NEAR(runs_.Get(run.name())->results.at(0).cost_per_request->point, 15 * 0.2e-6, 1e-15);
}

TEST_F(RunTest, CancelStopsARunThatIsAsking) {
  evaluation::Run run = CreateRun(FreezeRows(200), {"good"});
  std::atomic<int> asked = 0;
  trouble_ = [&](const System&, const SuiteRow&, int) -> absl::StatusOr<Reply> {
    if (++asked == 10) {
      EXPECT_OK(runs_.Cancel(run.name()));
    }
    // Time for progress to be written, and the wish to be seen: on the run's clock, and for its
    // threads.
    clock_.Advance(absl::Milliseconds(200));
    if (asked >= 10) SystemClock().SleepFor(absl::Milliseconds(20));
    return Reply{};
  };
  ASSERT_OK(Work());
  EXPECT_EQ(runs_.Get(run.name())->state, RunState::kCancelled);
  EXPECT_LT(runner_.total(), 100);
  EXPECT_THAT(runs_.Resume(run.name(), std::nullopt), HasReasonThat("STATE_INVALID"));
}

TEST_F(RunTest, StopsWhenTheDifferenceIsPreciseEnough) {
  evaluation::Run run{.project = "projects/default",
                      .suite_version = FreezeRows(400),
                      .systems = {TestSystem("bad"), TestSystem("good")},
                      .repeats = 1,
                      .half_width = 0.05,
                      .concurrency = 2};
  run = *runs_.Create(run, {});
  ASSERT_OK(Work());
  run = *runs_.Get(run.name());
  EXPECT_EQ(run.state, RunState::kSucceeded);
  EXPECT_LT(run.answers_done, run.answers_total);
  EXPECT_THAT(run.state_reason, HasSubstr("narrower"));
}

TEST_F(RunTest, PrecisionOfOneSystemDoesNotSkipTheNext) {
  evaluation::Run run{.project = "projects/default",
                      .suite_version = FreezeRows(400),
                      .systems = {TestSystem("bad"), TestSystem("good"), TestSystem("half")},
                      .repeats = 1,
                      .half_width = 0.05,
                      .concurrency = 2};
  run = *runs_.Create(run, {});
  ASSERT_OK(Work());
  run = *runs_.Get(run.name());
  EXPECT_EQ(run.state, RunState::kSucceeded);
  ASSERT_EQ(run.results.size(), 3u);
  EXPECT_GT(run.results[2].answers, 100);
  EXPECT_LT(run.results[1].answers, 400);
  EXPECT_THAT(run.state_reason, HasSubstr("good: "));
}

TEST_F(RunTest, TestRowsAreReadOncePerCandidate) {
  std::string suite = FreezeRows(10, SuiteRole::kTest);
  evaluation::Run first = CreateRun(suite, {"good"}, 2);
  ASSERT_OK(Work());
  evaluation::Run again = first;
  again.systems = {TestSystem("bad"), TestSystem("good")};
  ASSERT_OK(runs_.Create(again, {}, /*validate_only=*/true)) << "what was answered is reused";
  again.repeats = 3;
  auto refused = runs_.Create(again, {});
  EXPECT_THAT(refused, HasReasonThat("TEST_ROWS_SPENT"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr(first.name()));
  again.systems = {TestSystem("bad")};
  EXPECT_OK(runs_.Create(again, {}));
  // DEV rows may be read as often as one likes.
  evaluation::Run dev = CreateRun(FreezeRows(11), {"good"}, 1);
  ASSERT_OK(Work());
  ASSERT_OK(Work());
  dev.repeats = 2;
  EXPECT_OK(runs_.Create(dev, {}));
}

TEST_F(RunTest, ValidateOnlyStoresNothing) {
  evaluation::Run run{.project = "projects/default",
                      .suite_version = FreezeRows(10),
                      .systems = {TestSystem("good")},
                      .repeats = 3};
  auto checked = runs_.Create(run, {}, /*validate_only=*/true);
  ASSERT_OK(checked);
  EXPECT_EQ(checked->answers_total, 30);
  EXPECT_TRUE(store_.List({.kind = kRunKind})->empty());
  run.systems = {TestSystem("unknown")};
  EXPECT_THAT(runs_.Create(run, {}), HasReasonThat("MODEL_NOT_FOUND"));
  run.systems = {TestSystem("good"), TestSystem("good")};
  EXPECT_THAT(runs_.Create(run, {}), HasReasonThat("FIELD_INVALID"));
}

TEST_F(RunTest, ComparisonGivesTheSixRowsWithIntervals) {
  runner_.SetPrices({.known = true, .input = 1, .output = 1});
  facts_.task.name = "projects/default/tasks/t";
  facts_.task.requests_per_day = 3000;
  evaluation::Run run = CreateRun(FreezeRows(60), {"half", "good"}, 2);
  ASSERT_OK(Work());
  auto comparison = runs_.Compare({.project = "projects/default", .runs = {run.name()}});
  ASSERT_OK(comparison);
  std::map<std::string, ComparedMetric> metrics;
  for (const ComparedMetric& metric : comparison->metrics) metrics[metric.metric] = metric;
  EXPECT_EQ(comparison->metrics[0].metric, "fields");
  EXPECT_EQ(metrics.at("prompt_tokens").baseline.point, 1000);
  EXPECT_EQ(metrics.at("prompt_tokens").candidate.point, 10);
  EXPECT_NEAR(metrics.at("cost_per_request").baseline.point, 1005e-6, 1e-12);
  EXPECT_NEAR(metrics.at("cost_per_month").baseline.point, 1005e-6 * 90000, 1e-9);
  EXPECT_EQ(metrics.at("accuracy").candidate.point, 1);
  EXPECT_NEAR(metrics.at("accuracy").difference.point, 0.25, 1e-12);
  for (const auto& [name, metric] : metrics) {
    EXPECT_EQ(metric.source == EvidenceSource::kDeclared, name.rfind("cost_", 0) == 0) << name;
  }
  EXPECT_THAT(metrics.at("cost_per_month").explanation,
              HasSubstr("declared price, times 90000 declared requests a month"));
  EXPECT_THAT(run.name().empty() ? "" : runs_.Get(run.name())->results[0].cost_explanation,
              HasSubstr("measured tokens at the declared price"));
  EXPECT_NEAR(metrics.at("latency_p50").difference.point, -0.4, 1e-12);
  EXPECT_EQ(metrics.at("consistency").baseline.point, 0.5);
  EXPECT_EQ(metrics.at("consistency").candidate.point, 1);
  EXPECT_TRUE(metrics.at("consistency").significant);
  EXPECT_FALSE(metrics.at("latency_p50").higher_is_better);
  auto stored = runs_.GetComparison("projects/default/comparisons/" + comparison->id);
  ASSERT_OK(stored);
  EXPECT_EQ(stored->metrics.size(), comparison->metrics.size());
}

// The same question asked twice takes one place in Holm's adjustment.
TEST_F(RunTest, AccuracyIsNotAskedTwice) {
  evaluation::Run run = CreateRun(FreezeRows(40), {"half", "good"});
  ASSERT_OK(Work());
  auto comparison = runs_.Compare({.project = "projects/default", .runs = {run.name()}});
  ASSERT_OK(comparison);
  const ComparedMetric* accuracy = nullptr;
  int64_t tests = 0;
  for (const ComparedMetric& metric : comparison->metrics) {
    if (metric.metric == "accuracy") accuracy = &metric;
    tests += metric.p_value.has_value();
  }
  ASSERT_NE(accuracy, nullptr);
  EXPECT_FALSE(accuracy->p_value.has_value());
  EXPECT_EQ(accuracy->adjusted_p_value, comparison->metrics[0].adjusted_p_value);
  EXPECT_EQ(accuracy->significant, comparison->metrics[0].significant);
  EXPECT_EQ(tests, 3) << "fields, format_valid, prompt_tokens";

  Suite named = TestSuite();
  named.graders[0].name = "accuracy";
  auto suite = suites_.Freeze({.suite = named, .inline_rows = TestRows(40)});
  ASSERT_OK(suite);
  run = CreateRun(suite->name, {"half", "good"});
  ASSERT_OK(Work());
  comparison = runs_.Compare({.project = "projects/default", .runs = {run.name()}});
  ASSERT_OK(comparison);
  EXPECT_EQ(std::count_if(comparison->metrics.begin(), comparison->metrics.end(),
                          [](const ComparedMetric& metric) { return metric.metric == "accuracy"; }),
            1);
}

// 40 rows in 4 clusters, every row better: four observations, not forty.
TEST_F(RunTest, ComparisonCountsClustersNotRows) {
  std::vector<SuiteRow> rows = TestRows(40);
  for (size_t i = 0; i < rows.size(); ++i) rows[i].cluster = absl::StrCat("c", i % 4);
  auto suite = suites_.Freeze({.suite = TestSuite(), .inline_rows = rows});
  ASSERT_OK(suite);
  evaluation::Run run = CreateRun(suite->name, {"bad", "good"});
  ASSERT_OK(Work());
  auto comparison = runs_.Compare({.project = "projects/default", .runs = {run.name()}});
  ASSERT_OK(comparison);
  const ComparedMetric& fields = comparison->metrics[0];
  EXPECT_EQ(fields.mcnemar->test.c, 40) << "rows are counted";
  EXPECT_NEAR(*fields.p_value, 0.125, 1e-12) << "clusters are tested";
  for (const ComparedMetric& metric : comparison->metrics) {
    EXPECT_EQ(metric.difference.clusters, 4) << metric.metric;
    EXPECT_EQ(metric.difference.n, 40) << metric.metric;
    // prompt_tokens differ by the same 990 in every row: no certainty comes of that.
    if (metric.p_value) {
      EXPECT_GE(*metric.p_value, 0.125) << metric.metric;
    }
  }
}

TEST_F(RunTest, ComparisonCountsDiscordantRowsAndListsRegressions) {
  evaluation::Run run = CreateRun(FreezeRows(40), {"good", "half"});
  ASSERT_OK(Work());
  auto comparison = runs_.Compare({.project = "projects/default", .runs = {run.name()}});
  ASSERT_OK(comparison);
  ASSERT_TRUE(comparison->metrics[0].mcnemar.has_value());
  EXPECT_EQ(comparison->metrics[0].mcnemar->test.b, 20);
  EXPECT_EQ(comparison->metrics[0].mcnemar->both, 20);
  EXPECT_EQ(comparison->regressions.size(), 20u);
  EXPECT_TRUE(comparison->flips.empty());
  EXPECT_THAT(comparison->regressions[0].input, HasSubstr("question 1"));
  EXPECT_EQ(comparison->flip_rate.point, 0.5);
  EXPECT_LE(*comparison->metrics[0].p_value, *comparison->metrics[0].adjusted_p_value);
}

TEST_F(RunTest, RunsOverDifferentRowsAreNotComparable) {
  evaluation::Run first = CreateRun(FreezeRows(10), {"good"});
  evaluation::Run second = CreateRun(FreezeRows(12), {"bad"});
  EXPECT_THAT(runs_.Compare({.project = "projects/default", .runs = {first.name(), second.name()}}),
              HasReasonThat("RUNS_NOT_COMPARABLE"));
  EXPECT_THAT(runs_.Compare({.project = "projects/default", .runs = {first.name()}}),
              HasReasonThat("FIELD_INVALID"));
}

}  // namespace
}  // namespace crossover::evaluation
