// route and experiment against a fake router.
#include <gmock/gmock.h>

#include "cli/output/error.h"
#include "cli/testing/cli_fixture.h"
#include "common/testing/temp_dir.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "crossover/router/v1/experiment_service.grpc.pb.h"
#include "crossover/router/v1/route_service.grpc.pb.h"
#include "crossover/router/v1/traffic_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace registry = ::crossover::registry::v1;
namespace router = ::crossover::router::v1;
using router::Experiment;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kExperiment[] = "projects/default/experiments/06bq7";
constexpr char kPrompt[] = "projects/default/tasks/support/prompts/main/versions/sha256:77b0";

class FakePrompts final : public registry::PromptService::Service {
  grpc::Status GetPrompt(grpc::ServerContext*, const registry::GetPromptRequest*,
                         registry::Prompt* response) override {
    response->set_active_version(kPrompt);
    return grpc::Status::OK;
  }
};

class FakeRoutes final : public router::RouteService::Service {
 public:
  router::Route stored;
  router::UpdateRouteRequest updated;

 private:
  grpc::Status CreateRoute(grpc::ServerContext*, const router::CreateRouteRequest* request,
                           router::Route* response) override {
    stored = request->route();
    stored.set_name(request->parent() + "/routes/" + request->route_id());
    *response = stored;
    return grpc::Status::OK;
  }
  grpc::Status GetRoute(grpc::ServerContext*, const router::GetRouteRequest* request,
                        router::Route* response) override {
    if (request->name() != "projects/default/routes/support") {
      return testing::Refuse(absl::StatusCode::kNotFound, "ROUTE_NOT_FOUND",
                             "there is no " + request->name());
    }
    *response = stored;
    response->set_name(request->name());
    return grpc::Status::OK;
  }
  grpc::Status UpdateRoute(grpc::ServerContext*, const router::UpdateRouteRequest* request,
                           router::Route* response) override {
    updated = *request;
    *response = request->route();
    return grpc::Status::OK;
  }
};

class FakeExperiments final : public router::ExperimentService::Service {
 public:
  Experiment experiment;
  router::StartExperimentRequest started;
  std::string reason;
  std::string deleted;
  bool refuse_start = false;

 private:
  grpc::Status CreateExperiment(grpc::ServerContext*,
                                const router::CreateExperimentRequest* request,
                                Experiment* response) override {
    experiment = request->experiment();
    experiment.set_name(kExperiment);
    experiment.set_state(Experiment::DRAFT);
    *response = experiment;
    return grpc::Status::OK;
  }
  grpc::Status StartExperiment(grpc::ServerContext*, const router::StartExperimentRequest* request,
                               Experiment* response) override {
    started = *request;
    if (refuse_start) {
      return testing::Refuse(absl::StatusCode::kFailedPrecondition, "NOT_EVALUATED",
                             "the candidate has not been evaluated");
    }
    experiment.set_state(Experiment::CALIBRATING);
    *response = experiment;
    return grpc::Status::OK;
  }
  grpc::Status DeleteExperiment(grpc::ServerContext*,
                                const router::DeleteExperimentRequest* request,
                                google::protobuf::Empty*) override {
    if (experiment.state() != Experiment::DRAFT) {
      return testing::Refuse(absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
                             "only a DRAFT is deleted");
    }
    deleted = request->name();
    return grpc::Status::OK;
  }
  grpc::Status GetExperiment(grpc::ServerContext*, const router::GetExperimentRequest*,
                             Experiment* response) override {
    *response = experiment;
    return grpc::Status::OK;
  }
  grpc::Status AbortExperiment(grpc::ServerContext*, const router::AbortExperimentRequest* request,
                               Experiment* response) override {
    reason = request->reason();
    experiment.set_state(Experiment::ABORTED);
    *response = experiment;
    return grpc::Status::OK;
  }
  grpc::Status RollbackExperiment(grpc::ServerContext*,
                                  const router::RollbackExperimentRequest* request,
                                  Experiment* response) override {
    reason = request->reason();
    experiment.set_state(Experiment::ROLLED_BACK);
    *response = experiment;
    return grpc::Status::OK;
  }
  grpc::Status AdvanceExperiment(grpc::ServerContext*, const router::AdvanceExperimentRequest*,
                                 Experiment*) override {
    return testing::Refuse(absl::StatusCode::kFailedPrecondition, "GATE_NOT_MET",
                           "a harm test has fired");
  }
};

class FakeTraffic final : public router::TrafficService::Service {
 public:
  router::BatchCreateFeedbackRequest batch;
  router::Feedback feedback;
  std::string warning;

 private:
  grpc::Status GetLedger(grpc::ServerContext*, const router::GetLedgerRequest*,
                         router::GetLedgerResponse* response) override {
    router::LedgerEntry& total = *response->mutable_total();
    total.set_eligible(1200);
    total.set_sampled(1000);
    total.set_paired(990);
    (*total.mutable_failed())["timeout"] = 4;
    (*total.mutable_dropped())["queue_full"] = 5;
    total.set_in_flight(1);
    response->set_balanced(true);
    return grpc::Status::OK;
  }
  grpc::Status CreateFeedback(grpc::ServerContext*, const router::CreateFeedbackRequest* request,
                              router::Feedback* response) override {
    feedback = request->feedback();
    *response = feedback;
    response->set_warning(warning);
    return grpc::Status::OK;
  }
  grpc::Status BatchCreateFeedback(grpc::ServerContext*,
                                   const router::BatchCreateFeedbackRequest* request,
                                   router::BatchCreateFeedbackResponse* response) override {
    batch = *request;
    for (const router::Feedback& one : request->feedback()) {
      *response->add_feedback() = one;
      response->mutable_feedback()->rbegin()->set_warning(warning);
    }
    return grpc::Status::OK;
  }
};

class ExperimentTest : public testing::CliTest {
 protected:
  ExperimentTest() { Serve({&prompts_, &routes_, &experiments_, &traffic_}); }

  FakePrompts prompts_;
  FakeRoutes routes_;
  FakeExperiments experiments_;
  FakeTraffic traffic_;
};

TEST_F(ExperimentTest, ARouteIsMadeFromSystemsInOneArgumentEach) {
  EXPECT_EQ(
      Crossover(
          {"route", "create", "support", "--task", "support", "--mode", "fine-tune", "--variant",
           "prompt:prompt=support/main,model=smollm2-135m-instruct,temperature=0,max_tokens=48",
           "--variant", "tuned:adapter=sha256:48c2d861134c0b56", "--primary", "prompt",
           "--fallback", "tuned"}),
      kExitOk)
      << err();
  const router::Route& route = routes_.stored;
  EXPECT_EQ(route.mode(), router::Route::FINE_TUNE);
  EXPECT_EQ(route.variants().at("prompt").prompt_version(), kPrompt);
  EXPECT_EQ(route.variants().at("prompt").sampling().max_tokens(), 48);
  EXPECT_TRUE(route.variants().at("prompt").sampling().has_temperature());
  EXPECT_EQ(route.variants().at("tuned").adapter().model(), "sha256:48c2d861134c0b56");
  EXPECT_THAT(out(), HasSubstr("prompt   primary  main on smollm2-135m-instruct\n"));
}

TEST_F(ExperimentTest, SetNamesTheFieldsItChanges) {
  (*routes_.stored.mutable_variants())["prompt"].mutable_base_model()->set_model("b");
  EXPECT_EQ(Crossover({"route", "set", "support", "--variant", "tuned:adapter=a", "--set",
                       "sla.latency_p50=600ms"}),
            kExitOk)
      << err();
  EXPECT_THAT(routes_.updated.update_mask().paths(), ElementsAre("variants", "sla"));
  EXPECT_EQ(routes_.updated.route().variants().size(), 2);
  EXPECT_EQ(routes_.updated.route().sla().latency_p50().nanos(), 600'000'000);
}

TEST_F(ExperimentTest, ASystemWithoutAModelIsAUsageError) {
  EXPECT_EQ(Crossover({"route", "create", "r", "--variant", "a:prompt=support/main"}), kExitUsage);
  EXPECT_THAT(err(),
              HasSubstr("'prompt=support/main' names no model; add model=, adapter= or upstream="));
  EXPECT_EQ(Crossover({"route", "create", "r", "--variant", "a:model=m,heat=3"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("'heat' is no part of a system"));
}

TEST_F(ExperimentTest, StartCreatesAndStartsWithMinimaFromSet) {
  EXPECT_EQ(
      Crossover({"experiment", "start", "support", "--candidate", "tuned", "--mode", "improvement",
                 "--set", "shadow.duration=2h", "--set", "shadow.pairs=300", "--override", "demo"}),
      kExitOk)
      << err();
  EXPECT_EQ(experiments_.experiment.route(), "projects/default/routes/support");
  EXPECT_EQ(experiments_.experiment.shadow().duration().seconds(), 7200);
  EXPECT_EQ(experiments_.experiment.shadow().pairs(), 300);
  EXPECT_EQ(experiments_.started.override_reason(), "demo");
  EXPECT_THAT(out(), HasSubstr("state       calibrating\n"));
}

TEST_F(ExperimentTest, AStartThatIsRefusedLeavesNoDraft) {
  experiments_.refuse_start = true;
  EXPECT_EQ(Crossover({"experiment", "start", "support", "--candidate", "tuned"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("the candidate has not been evaluated"));
  EXPECT_EQ(experiments_.experiment.state(), Experiment::ABORTED);
  EXPECT_EQ(experiments_.reason, "its start was refused: the candidate has not been evaluated");
}

TEST_F(ExperimentTest, ADraftIsDeleted) {
  experiments_.experiment.set_state(Experiment::DRAFT);
  EXPECT_EQ(Crossover({"experiment", "delete", "06bq7"}), kExitOk) << err();
  EXPECT_EQ(experiments_.deleted, kExperiment);
  EXPECT_EQ(out(), absl::StrCat("deleted ", kExperiment, "\n"));
  experiments_.experiment.set_state(Experiment::SHADOW);
  EXPECT_EQ(Crossover({"experiment", "delete", "06bq7"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("only a draft is deleted"));
}

TEST_F(ExperimentTest, StatusShowsVerdictsWithIntervalsAndALedgerThatAddsUp) {
  Experiment& experiment = experiments_.experiment;
  experiment.set_name(kExperiment);
  experiment.set_state(Experiment::CANARY);
  experiment.set_step(1);
  experiment.set_weight(0.05);
  experiment.set_candidate("tuned");
  experiment.set_valid_pairs(990);
  router::Verdict& verdict = *experiment.add_verdicts();
  verdict.set_metric("quality");
  verdict.set_decides(true);
  verdict.set_outcome(router::Verdict::PROMOTE);
  verdict.mutable_difference()->set_point(-0.08);
  verdict.mutable_difference()->set_lower(-0.1);
  verdict.mutable_difference()->set_upper(-0.06);
  verdict.mutable_difference()->set_n(990);
  routes_.stored.set_experiment(kExperiment);
  EXPECT_EQ(Crossover({"experiment", "status", "support"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("state       canary step 2, 5.0 %\n"));
  EXPECT_THAT(out(), HasSubstr("quality                      -8.0 points [-10.0, -6.0]  promote"));
  EXPECT_THAT(out(), HasSubstr("mirror: 1,200 requests, 1,000 sampled = 990 paired + 4 failed + 5 "
                               "dropped + 1 on their way\n"));
}

TEST_F(ExperimentTest, StatusSaysWhyPairsDoNotCount) {
  Experiment& experiment = experiments_.experiment;
  experiment.set_name(kExperiment);
  experiment.set_state(Experiment::CALIBRATING);
  experiment.set_calibration_pairs(7);
  (*experiment.mutable_uncounted_pairs())["TRUNCATED"] = 1200;
  routes_.stored.set_experiment(kExperiment);
  EXPECT_EQ(Crossover({"experiment", "status", "support"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("0 valid, 0 graded; 7 of the primary with itself"));
  EXPECT_THAT(out(), HasSubstr("not counted  1,200 truncated: the primary's answer was cut at "
                               "max_tokens"));
  EXPECT_THAT(out(), HasSubstr("Raise max_tokens of the route's variants"));
}

TEST_F(ExperimentTest, RollbackNeedsAReason) {
  EXPECT_EQ(Crossover({"experiment", "rollback", "support"}), kExitUsage);
  routes_.stored.set_experiment(kExperiment);
  experiments_.experiment.set_name(kExperiment);
  EXPECT_EQ(Crossover({"experiment", "rollback", "support", "--reason", "complaints"}), kExitOk)
      << err();
  EXPECT_EQ(experiments_.reason, "complaints");
  EXPECT_THAT(out(), HasSubstr("rolled-back"));
}

TEST_F(ExperimentTest, ARefusedAdvanceSaysWhatToDo) {
  EXPECT_EQ(Crossover({"experiment", "advance", "06bq7", "--reason", "hurry"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("error: a harm test has fired\n  reason  GATE_NOT_MET\n  try     "
                               "`crossover experiment explain`"));
}

TEST_F(ExperimentTest, FeedbackWithoutAPairIsTakenWithAWarning) {
  traffic_.warning = "no pair is known under 'chatcmpl-x' yet";
  EXPECT_EQ(Crossover({"feedback", "chatcmpl-x", "--wrong"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("taken: "));
  EXPECT_EQ(err(), "warning: no pair is known under 'chatcmpl-x' yet\n");
  const crossover::testing::TempDir folder;
  const std::string line = R"({"inference_id": "chatcmpl-x", "name": "label", "comment": "x"})";
  crossover::testing::WriteFile(folder / "feedback.jsonl", line + "\n" + line + "\n");
  EXPECT_EQ(Crossover({"feedback", "--file", (folder / "feedback.jsonl").string()}), kExitOk);
  EXPECT_EQ(out(), "taken: 2\n");
  EXPECT_THAT(err(), HasSubstr("2 of 2 name an answer without a pair; the first: no pair is"));
}

TEST_F(ExperimentTest, FeedbackIsOneValueOrAFileOfMany) {
  EXPECT_EQ(Crossover({"feedback", "chatcmpl-1", "--wrong"}), kExitOk) << err();
  EXPECT_EQ(traffic_.feedback.name(), "correct");
  EXPECT_FALSE(traffic_.feedback.bool_value());
  EXPECT_EQ(Crossover({"feedback", "chatcmpl-1", "--wrong", "--rating", "0.5"}), kExitUsage);
  EXPECT_EQ(Crossover({"feedback", "chatcmpl-1"}), kExitUsage);
}

}  // namespace
}  // namespace crossover::cli
