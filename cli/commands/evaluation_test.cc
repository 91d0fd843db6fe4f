// evaluate, compare, ladder, decide and suite against a fake evaluation service.
#include <gmock/gmock.h>
#include <algorithm>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/output/error.h"
#include "cli/testing/cli_fixture.h"
#include "crossover/evaluation/v1/decision_service.grpc.pb.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "crossover/evaluation/v1/ladder_service.grpc.pb.h"
#include "crossover/evaluation/v1/suite_service.grpc.pb.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace evaluation = ::crossover::evaluation::v1;
namespace registry = ::crossover::registry::v1;
using evaluation::Comparison;
using evaluation::Decision;
using evaluation::Run;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTask[] = "projects/default/tasks/support";
constexpr char kSuite[] = "projects/default/suites/support-test/versions/sha256:aa00000000000000";

void SetInterval(type::v1::Interval* interval, double point, double lower, double upper,
                 int64_t n) {
  interval->set_point(point);
  interval->set_lower(lower);
  interval->set_upper(upper);
  interval->set_n(n);
}

Run MakeRun(const std::string& id, const std::string& candidate, int repeats) {
  Run run;
  run.set_name("projects/default/runs/" + id);
  run.set_state(Run::SUCCEEDED);
  run.set_suite_version(kSuite);
  run.set_task(kTask);
  run.set_repeats(repeats);
  for (const std::string& name : {std::string("prompt"), candidate}) {
    auto& system = *run.add_systems();
    system.set_display_name(name);
    system.set_digest("sha256:" + id + "-" + name);
    system.mutable_base_model()->set_model("small");
    if (repeats > 1) system.mutable_sampling()->set_temperature(0.7);
    auto& result = *run.add_results();
    result.set_display_name(name);
    result.set_system_digest(system.digest());
    auto& grader = *result.add_graders();
    grader.set_grader("exact");
    SetInterval(grader.mutable_score(), 0.5, 0.4, 0.6, 300);
  }
  return run;
}

class FakeEvaluation final : public evaluation::EvaluationService::Service {
 public:
  std::map<std::string, Run> runs;
  std::vector<evaluation::CompareRequest> compared;
  evaluation::CreateRunRequest created;

  static void AddMetric(Comparison& comparison, const std::string& name, double before,
                        double after, bool higher_is_better, double p) {
    auto& metric = *comparison.add_metrics();
    metric.set_metric(name);
    const double width = (before + after) / 20;
    SetInterval(metric.mutable_baseline(), before, before - width, before + width, 300);
    SetInterval(metric.mutable_candidate(), after, after - width, after + width, 300);
    SetInterval(metric.mutable_difference(), after - before, after - before - width,
                after - before + width, 300);
    metric.set_higher_is_better(higher_is_better);
    metric.set_adjusted_p_value(p);
    metric.set_significant(true);
  }

 private:
  grpc::Status GetRun(grpc::ServerContext*, const evaluation::GetRunRequest* request,
                      Run* response) override {
    const auto found = runs.find(request->name());
    if (found == runs.end())
      return testing::Refuse(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", "no such run");
    *response = found->second;
    return grpc::Status::OK;
  }
  grpc::Status CreateRun(grpc::ServerContext*, const evaluation::CreateRunRequest* request,
                         Run* response) override {
    created = *request;
    *response = runs.begin()->second;
    return grpc::Status::OK;
  }
  grpc::Status Compare(grpc::ServerContext*, const evaluation::CompareRequest* request,
                       Comparison* response) override {
    compared.push_back(*request);
    response->set_name("projects/default/comparisons/06bc");
    if (runs.at(request->runs(0)).repeats() > 1) {
      AddMetric(*response, "consistency", 0.4, 0.96, true, 0.00004);
      response->mutable_metrics(0)->mutable_baseline()->set_n(50);
      return grpc::Status::OK;
    }
    AddMetric(*response, "accuracy", 0.07, 0.59, true, 0.0000001);
    AddMetric(*response, "prompt_tokens", 1250, 130, false, 0.0000001);
    AddMetric(*response, "latency_p50", 2.8, 0.9, false, std::nan(""));
    AddMetric(*response, "cost_per_request", 0.024, 0.0026, false, 0.0000001);
    AddMetric(*response, "cost_per_month", 2160, 234, false, std::nan(""));
    for (auto& metric : *response->mutable_metrics()) {
      if (metric.metric().rfind("cost", 0) != 0) continue;
      metric.set_source(type::v1::Evidence::DECLARED);
      metric.set_explanation("measured tokens at the declared price");
    }
    return grpc::Status::OK;
  }
};

class FakeLadders final : public evaluation::LadderService::Service {
  grpc::Status ListLadders(grpc::ServerContext*, const evaluation::ListLaddersRequest*,
                           evaluation::ListLaddersResponse* response) override {
    evaluation::Ladder& ladder = *response->add_ladders();
    ladder.set_name("projects/default/ladders/06bl");
    ladder.set_task(kTask);
    ladder.set_state(evaluation::Ladder::CEILING);
    ladder.set_chosen(1);
    for (const char* name : {"zero-shot", "few-shot-15"}) {
      auto& rung = *ladder.add_rungs();
      rung.mutable_system()->set_display_name(name);
      SetInterval(rung.mutable_dev(), 0.07, 0.04, 0.12, 150);
    }
    return grpc::Status::OK;
  }
};

class FakeDecisions final : public evaluation::DecisionService::Service {
 public:
  evaluation::CreateDecisionRequest asked;

 private:
  grpc::Status CreateDecision(grpc::ServerContext*,
                              const evaluation::CreateDecisionRequest* request,
                              Decision* response) override {
    asked = *request;
    *response = request->decision();
    response->set_name(request->parent() + "/decisions/06bd");
    for (const auto& [name, value] : request->decision().inputs().thresholds()) {
      auto& override = *response->add_overridden_thresholds();
      override.set_name(name);
      override.set_value(value);
      override.set_default_value("0.02");
      override.set_origin("request");
    }
    response->set_recommendation(Decision::FINE_TUNE);
    response->set_state(Decision::OPEN);
    auto& roi = *response->mutable_roi();
    roi.mutable_monthly_before()->set_currency_code("USD");
    roi.mutable_monthly_before()->set_units(2160);
    auto& serving = *roi.add_items();
    serving.set_name("prompt_serving");
    serving.set_source(type::v1::Evidence::DECLARED);
    return grpc::Status::OK;
  }
};

class FakeSuites final : public evaluation::SuiteService::Service {
 public:
  evaluation::FreezeSuiteRequest frozen;

 private:
  grpc::Status FreezeSuite(grpc::ServerContext*, const evaluation::FreezeSuiteRequest* request,
                           evaluation::SuiteVersion* response) override {
    frozen = *request;
    *response = request->suite_version();
    response->set_name(kSuite);
    response->set_row_count(300);
    response->set_cluster_count(290);
    return grpc::Status::OK;
  }
  grpc::Status ListSuiteVersions(grpc::ServerContext*,
                                 const evaluation::ListSuiteVersionsRequest* request,
                                 evaluation::ListSuiteVersionsResponse* response) override {
    const bool here = request->parent() == "projects/default/suites/-" ||
                      request->parent() == "projects/default/suites/support-test";
    if (here) response->add_suite_versions()->set_name(kSuite);
    return grpc::Status::OK;
  }
};

class FakeTasks final : public registry::TaskService::Service {
 public:
  registry::Task task;
  std::vector<std::string> known;  // empty: every task is

 private:
  grpc::Status ListTasks(grpc::ServerContext*, const registry::ListTasksRequest*,
                         registry::ListTasksResponse* response) override {
    for (const std::string& name : known)
      response->add_tasks()->set_name("projects/default/tasks/" + name);
    return grpc::Status::OK;
  }
  grpc::Status GetTask(grpc::ServerContext*, const registry::GetTaskRequest* request,
                       registry::Task* response) override {
    const bool is_known = std::any_of(known.begin(), known.end(), [&](const std::string& name) {
      return request->name() == "projects/default/tasks/" + name;
    });
    if (!known.empty() && !is_known)
      return testing::Refuse(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", "no such task");
    *response = task;
    response->set_name(request->name());
    return grpc::Status::OK;
  }
};

// One prompt with one version.
class OnePrompt final : public registry::PromptService::Service {
  grpc::Status GetPrompt(grpc::ServerContext*, const registry::GetPromptRequest* request,
                         registry::Prompt*) override {
    return testing::Refuse(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                           "no prompt " + request->name());
  }
  grpc::Status ListPrompts(grpc::ServerContext*, const registry::ListPromptsRequest*,
                           registry::ListPromptsResponse* response) override {
    response->add_prompts()->set_name(std::string(kTask) + "/prompts/main");
    return grpc::Status::OK;
  }
  grpc::Status ListPromptVersions(grpc::ServerContext*,
                                  const registry::ListPromptVersionsRequest* request,
                                  registry::ListPromptVersionsResponse* response) override {
    if (request->parent() == std::string(kTask) + "/prompts/main") {
      response->add_prompt_versions()->set_name(request->parent() +
                                                "/versions/sha256:11aa22bb33cc44dd");
    }
    return grpc::Status::OK;
  }
};

class EvaluationTest : public testing::CliTest {
 protected:
  EvaluationTest() {
    evaluation_.runs["projects/default/runs/06br"] = MakeRun("06br", "tuned", 1);
    evaluation_.runs["projects/default/runs/06bs"] = MakeRun("06bs", "tuned", 5);
    tasks_.task.mutable_volume()->set_requests_per_day(3000);
    tasks_.task.mutable_volume()->set_tokens_per_month(112e6);
    tasks_.task.mutable_declared()->mutable_monthly_spend()->set_currency_code("USD");
    tasks_.task.mutable_declared()->mutable_monthly_spend()->set_units(2160);
    Serve({&evaluation_, &ladders_, &decisions_, &suites_, &tasks_, &prompts_});
  }

  FakeEvaluation evaluation_;
  FakeLadders ladders_;
  FakeDecisions decisions_;
  FakeSuites suites_;
  FakeTasks tasks_;
  OnePrompt prompts_;
};

TEST_F(EvaluationTest, ATaskThatIsNotThereIsNamedBeforeAnythingIsMade) {
  tasks_.known = {"support"};
  EXPECT_EQ(Crossover({"suite", "freeze", "support-test", "--task", "suport", "--role", "test",
                       "--dataset", "rows", "--split", "test", "--grader", "exact"}),
            1);
  EXPECT_THAT(err(), HasSubstr("there is no task 'suport'; did you mean 'support'?"));
}

TEST_F(EvaluationTest, WhatIsNotThereIsToldWithWhatIs) {
  EXPECT_EQ(Crossover({"evaluate", "nightly", "--system", "model=small"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("there is no suite 'nightly'; there are: support-test\n"));
  EXPECT_EQ(Crossover({"evaluate", "suport-test", "--system", "model=small"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("there is no suite 'suport-test'; did you mean 'support-test'?"));
  EXPECT_EQ(Crossover({"evaluate", "support-test@abcd", "--system", "model=small"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("has no version abcd; there are: sha256:aa0000000000\n"));
  EXPECT_EQ(Crossover({"evaluate", "support-test", "--system", "prompt=support/mian,model=small"}),
            kExitFailure);
  EXPECT_THAT(err(), HasSubstr("there is no prompt 'support/mian'; did you mean 'support/main'?"));
  EXPECT_EQ(Crossover({"prompt", "show", "support/main@ffff"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("has no version ffff; there are: sha256:11aa22bb33cc\n"));
  EXPECT_EQ(Crossover({"prompt", "show", "support/mian@11aa"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("did you mean 'support/main'?"));
  tasks_.known = {"support"};
  EXPECT_EQ(Crossover({"decide", "supprt"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("there is no task 'supprt'; did you mean 'support'?"));
}

TEST_F(EvaluationTest, ACutoffIsReadBeforeARunIsSpent) {
  EXPECT_EQ(
      Crossover({"evaluate", "support-test", "--system", "model=base", "--cutoff", "exact=0.6"}),
      2);
  EXPECT_THAT(err(), HasSubstr("'exact=0.6' is not GRADER>=SCORE"));
  EXPECT_THAT(err(), Not(HasSubstr("answers")));
}

TEST_F(EvaluationTest, ComparePrintsTheSixRowsMeasuredBesideThePublishedOnes) {
  EXPECT_EQ(Crossover({"compare", "06br", "--consistency", "06bs"}), kExitOk) << err();
  EXPECT_EQ(out(), R"(support-test, 300 rows, paired; 95 % intervals

                                    prompt                      tuned                          DIFFERENCE                      P (HOLM)          SOURCE          PUBLISHED
prompt tokens                       1,250 [1,181, 1,319]        130 [61, 199]                  -1,120 [-1,189, -1,051]           <0.001  better  measured        1,800 → 0
cost per request                    0.024 [0.0227, 0.0253] USD  0.0026 [0.00127, 0.00393] USD  -0.0214 [-0.0227, -0.0201] USD    <0.001  better  declared price  0.024 → 0.001 USD
cost per month, 3,000 requests/day  2,160 [2,040, 2,280] USD    234 [114, 354] USD             -1,926 [-2,046, -1,806] USD            -  better  declared price  2,160 → 90 USD
accuracy                            7.0 % [3.7, 10.3]           59.0 % [55.7, 62.3]            +52.0 points [+48.7, +55.3]       <0.001  better  measured        83 → 91 %
median latency                      2.80 s [2.61, 2.98]         0.90 s [0.72, 1.08]            -1.90 s [-2.08, -1.71]                 -  better  measured        2.8 → 0.9 s
consistency (same output on retry)  40.0 % [33.2, 46.8]         96.0 % [89.2, 102.8]           +56.0 points [+49.2, +62.8]       <0.001  better  measured        78 → 97 %

cost         measured tokens at the declared price
consistency  50 rows × 5 answers at temperature 0.7
published    contract-clause extraction, from a long prompt to a tuned model; not measured here
)");
}

TEST_F(EvaluationTest, CompareKeepsTheMainComparisonTheNewest) {
  EXPECT_EQ(Crossover({"compare", "06br", "--consistency", "06bs"}), kExitOk) << err();
  ASSERT_EQ(evaluation_.compared.size(), 2U);
  EXPECT_EQ(evaluation_.compared[0].runs(0), "projects/default/runs/06bs");
  EXPECT_EQ(evaluation_.compared[1].runs(0), "projects/default/runs/06br");
  EXPECT_EQ(evaluation_.compared[1].baseline(), "sha256:06br-prompt");
  EXPECT_EQ(evaluation_.compared[1].candidate(), "sha256:06br-tuned");
}

TEST_F(EvaluationTest, ARowThatNobodyMeasuredSaysHowToGetIt) {
  EXPECT_EQ(Crossover({"compare", "06br"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("consistency (same output on retry)  unknown"));
  EXPECT_THAT(out(), HasSubstr("give --consistency RUN, a run with 2 repeats or more"));
}

TEST_F(EvaluationTest, CompareRefusesRetriesOfAnotherSystemAndRunsUnderWay) {
  evaluation_.runs["projects/default/runs/06bs"] = MakeRun("06bs", "other", 5);
  EXPECT_EQ(Crossover({"compare", "06br", "--consistency", "06bs"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("run 06br compares prompt and tuned, run 06bs prompt and other"));
  evaluation_.runs["projects/default/runs/06br"].set_state(Run::RUNNING);
  EXPECT_EQ(Crossover({"compare", "06br"}), kExitFailure);
  EXPECT_THAT(err(),
              HasSubstr("run 06br is running; follow it with: crossover evaluate --run 06br"));
}

TEST_F(EvaluationTest, CompareAsJsonHasEveryRowWithItsInterval) {
  EXPECT_EQ(Crossover({"compare", "06br", "--consistency", "06bs", "--json"}), kExitOk) << err();
  const auto json = nlohmann::json::parse(out());
  ASSERT_EQ(json["rows"].size(), 6U);
  EXPECT_EQ(json["candidate"], "tuned");
  EXPECT_EQ(json["rows"][3]["title"], "accuracy");
  EXPECT_EQ(json["rows"][3]["metric"]["candidate"]["point"], 0.59);
  EXPECT_EQ(json["rows"][3]["metric"]["candidate"]["n"], "300");
  EXPECT_EQ(json["rows"][1]["metric"]["source"], "DECLARED");
  EXPECT_EQ(json["rows"][5]["metric"]["metric"], "consistency");
  EXPECT_EQ(json["comparison"], "projects/default/comparisons/06bc");
}

TEST_F(EvaluationTest, EvaluateShowsResultsAndThePairedComparison) {
  EXPECT_EQ(Crossover({"evaluate", "--run", "06br"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("  CONSISTENCY  "));
  EXPECT_THAT(out(), ::testing::ContainsRegex("prompt  50.0 % \\[40.0, 60.0\\] +- "))
      << "one repeat has no consistency";
  EXPECT_THAT(out(), HasSubstr("tuned against prompt, paired:\n"));
  EXPECT_THAT(out(), HasSubstr("accuracy          7.0 %"));
  EXPECT_EQ(Crossover({"evaluate", "--run", "06br", "--cutoff", "exact>=0.6"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("cutoff missed: exact is 50.0 %"));
}

TEST_F(EvaluationTest, EvaluateAsJsonIsTheRunWithItsComparisons) {
  EXPECT_EQ(Crossover({"evaluate", "--run", "06br", "--json"}), kExitOk) << err();
  const auto json = nlohmann::json::parse(out());
  EXPECT_EQ(json["name"], "projects/default/runs/06br");
  ASSERT_EQ(json["comparisons"].size(), 1U);
  EXPECT_EQ(json["comparisons"][0]["metrics"][0]["metric"], "accuracy");
  EXPECT_EQ(json["comparisons"][0]["metrics"][2]["adjusted_p_value"], "NaN");
}

TEST_F(EvaluationTest, EvaluateAsksTheSystemsOnTheNewestSuite) {
  EXPECT_EQ(Crossover({"evaluate", "support-test", "--repeats", "2", "--system",
                       "model=small,name=prompt", "--system", "adapter=sha256:48c2,name=tuned"}),
            kExitOk)
      << err();
  EXPECT_EQ(evaluation_.created.run().suite_version(), kSuite);
  EXPECT_EQ(evaluation_.created.run().repeats(), 2);
  EXPECT_EQ(evaluation_.created.run().systems(1).adapter().model(), "sha256:48c2");
}

TEST_F(EvaluationTest, LaddersAreListedWithTheRungThatWasChosen) {
  EXPECT_EQ(Crossover({"ladder", "--list"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("06bl    support  ceiling      2  few-shot-15  7.0 % [4.0, 12.0]"));
}

TEST_F(EvaluationTest, DecideNamesOverriddenThresholdsAndWhereTheMonthComesFrom) {
  EXPECT_EQ(Crossover({"decide", "support", "--threshold", "convergence_margin=0.1"}), kExitOk)
      << err();
  EXPECT_THAT(out(),
              HasSubstr("overridden: convergence_margin 0.1 (default 0.02, by the request)\n"));
  EXPECT_THAT(out(), HasSubstr("a month, before  2,160 USD (declared)\n"));
  EXPECT_THAT(out(), HasSubstr("VERDICT  fine-tune"));
  EXPECT_EQ(decisions_.asked.decision().inputs().thresholds().at("convergence_margin"), "0.1");
}

TEST_F(EvaluationTest, DecideWithoutOverridesSaysNothingOfThem) {
  EXPECT_EQ(Crossover({"decide", "support"}), kExitOk) << err();
  EXPECT_THAT(out(), ::testing::Not(HasSubstr("overridden")));
}

TEST_F(EvaluationTest, FreezeTakesGradersByNameAndParameters) {
  EXPECT_EQ(
      Crossover({"suite", "freeze", "support-test", "--task", "support", "--role", "test",
                 "--dataset", "projects/default/datasets/rows/versions/sha256:3f2a", "--grader",
                 "json-fields:{name: accuracy, fields: [section]}", "--grader", "json-valid"}),
      kExitOk)
      << err();
  const auto& version = suites_.frozen.suite_version();
  EXPECT_EQ(version.role(), evaluation::SuiteVersion::TEST);
  EXPECT_EQ(version.graders(0).name(), "accuracy");
  EXPECT_EQ(version.graders(1).kind(), evaluation::Grader::JSON_VALID);
  EXPECT_THAT(out(), HasSubstr("rows     300 in 290 clusters\n"));
}

TEST_F(EvaluationTest, EveryDeclaredFactOfATaskIsMarkedAsDeclared) {
  auto& declared = *tasks_.task.mutable_declared();
  tasks_.task.set_owner("ana");
  tasks_.task.set_retraining_plan("monthly");
  declared.set_developer_hours(16);
  declared.set_urgency(registry::DeclaredFacts::MEDIUM);
  declared.mutable_monthly_operations()->set_currency_code("USD");
  declared.mutable_monthly_operations()->set_units(20);
  declared.mutable_prompt_unchanged_since()->set_seconds(1'790'000'000);
  declared.add_symptoms("too_slow");
  declared.set_regulated(true);
  EXPECT_EQ(Crossover({"task", "show", "support"}), kExitOk) << err();
  for (const char* line :
       {"owner       ana (declared)\n", "retraining  monthly (declared)\n",
        "volume      3,000 requests a day, 112,000,000 tokens a month (declared)\n",
        "developer   16 hours (declared)\n", "urgency     medium (declared)\n",
        "spend       2,160 USD a month today (declared)\n",
        "operations  20.00 USD a month for the tuned model (declared)\n",
        "prompt      unchanged since 2026-09-21 14:13 (declared)\n",
        "symptoms    too_slow (declared)\n", "traits      regulated (declared)\n"}) {
    EXPECT_THAT(out(), HasSubstr(line));
  }
}

}  // namespace
}  // namespace crossover::cli
