// Steps of pipelines against services that are told what to answer.
#include "services/training_scheduler/transport/remote_steps.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <set>

#include "common/log/fake_logger.h"
#include "common/rpc/server.h"
#include "common/testing/matchers.h"

namespace crossover::scheduler {
namespace {

namespace curation_pb = ::crossover::curation::v1;
namespace evaluation_pb = ::crossover::evaluation::v1;
using ::testing::HasSubstr;

constexpr char kRun[] = "projects/default/datasets/clauses/runs/06b000000000000000000000aa";

// The callback API's context of a unary method that answers at once.
grpc::ServerUnaryReactor* Answered(grpc::CallbackServerContext* context) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

struct FakeRuns final : curation_pb::CurationService::CallbackService {
  grpc::ServerUnaryReactor* CreateCurationRun(grpc::CallbackServerContext* context,
                                              const curation_pb::CreateCurationRunRequest* request,
                                              curation_pb::CurationRun* response) override {
    created = *request;
    response->set_name(kRun);
    return Answered(context);
  }
  grpc::ServerUnaryReactor* GetCurationRun(grpc::CallbackServerContext* context,
                                           const curation_pb::GetCurationRunRequest* request,
                                           curation_pb::CurationRun* response) override {
    *response = run;
    response->set_name(request->name());
    return Answered(context);
  }

  curation_pb::CreateCurationRunRequest created;
  curation_pb::CurationRun run;
};

struct FakeVersions final : curation_pb::DatasetService::CallbackService {
  grpc::ServerUnaryReactor* SealDatasetVersion(
      grpc::CallbackServerContext* context, const curation_pb::SealDatasetVersionRequest* request,
      curation_pb::DatasetVersion* response) override {
    request_ids.insert(request->request_id());
    response->set_name(request->parent() + "/versions/sha256:1");
    return Answered(context);
  }
  std::set<std::string> request_ids;
};

struct FakeEvaluation final : evaluation_pb::EvaluationService::CallbackService {
  grpc::ServerUnaryReactor* CreateRun(grpc::CallbackServerContext* context,
                                      const evaluation_pb::CreateRunRequest* request,
                                      evaluation_pb::Run* response) override {
    created = *request;
    response->set_name(request->parent() + "/runs/r");
    return Answered(context);
  }
  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context,
                                   const evaluation_pb::GetRunRequest* request,
                                   evaluation_pb::Run* response) override {
    *response = run;
    response->set_name(request->name());
    return Answered(context);
  }
  evaluation_pb::CreateRunRequest created;
  evaluation_pb::Run run;
};

struct FakeModule final : rpc::Module {
  std::vector<grpc::Service*> Services() override { return {&runs, &versions, &evaluation}; }
  absl::Status Start() override { return absl::OkStatus(); }
  void Drain() override {}
  FakeRuns runs;
  FakeVersions versions;
  FakeEvaluation evaluation;
};

class RemoteStepsTest : public ::testing::Test {
 protected:
  FakeLogger logger_;
  FakeModule services_;
  std::unique_ptr<rpc::Server> server_ =
      *rpc::Server::Start({.addresses = {"127.0.0.1:0"}}, {&services_}, logger_);
  CurationSteps curation_{server_->InProcessChannel()};
  EvaluationSteps evaluation_{server_->InProcessChannel()};
};

TEST_F(RemoteStepsTest, ACurationRunIsCreatedBelowItsDatasetAndSealedWhenItSucceeds) {
  const std::string resource =
      R"({"name": "projects/default/datasets/clauses/runs/-", "inputs": [{"file": "f"}]})";
  ASSERT_OK(curation_.Check("default", resource));
  ASSERT_OK(curation_.CheckNames("default", resource));
  EXPECT_TRUE(services_.runs.created.validate_only());
  EXPECT_THAT(curation_.Create("default", resource, "id-1"), IsOkAndHolds(std::string(kRun)));
  EXPECT_EQ(services_.runs.created.parent(), "projects/default/datasets/clauses");
  EXPECT_EQ(services_.runs.created.request_id(), "id-1");
  EXPECT_FALSE(services_.runs.created.validate_only());
  EXPECT_EQ(services_.runs.created.curation_run().inputs(0).file(), "f");
  EXPECT_EQ(services_.runs.created.curation_run().name(), "");

  services_.runs.run.set_state(curation_pb::CurationRun::RUNNING);
  ASSERT_OK_AND_ASSIGN(StepProgress progress, curation_.Look(kRun));
  EXPECT_EQ(progress.state, PipelineState::kRunning);
  services_.runs.run.set_state(curation_pb::CurationRun::SUCCEEDED);
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(progress, curation_.Look(kRun));
    EXPECT_EQ(progress.state, PipelineState::kSucceeded);
    EXPECT_EQ(progress.text, "projects/default/datasets/clauses/versions/sha256:1");
  }
  EXPECT_EQ(services_.versions.request_ids.size(), 1u);  // a repeat seals nothing new
  services_.runs.run.set_state(curation_pb::CurationRun::FAILED);
  services_.runs.run.set_state_reason("no rows are left");
  ASSERT_OK_AND_ASSIGN(progress, curation_.Look(kRun));
  EXPECT_EQ(progress.text, "no rows are left");
}

TEST_F(RemoteStepsTest, AnEvaluationRunIsMadeInTheProjectAndItsPauseIsTold) {
  const std::string resource = R"({"suite_version": "projects/default/suites/s/versions/sha256:2",
    "systems": [{"adapter": {"model": "{{steps.train.digest}}"}}], "repeats": 1})";
  ASSERT_OK(evaluation_.Check("default", resource));
  EXPECT_THAT(evaluation_.Create("default", resource, "id-2"),
              IsOkAndHolds(std::string("projects/default/runs/r")));
  EXPECT_EQ(services_.evaluation.created.run().systems(0).adapter().model(),
            "{{steps.train.digest}}");
  services_.evaluation.run.set_state(evaluation_pb::Run::PAUSED);
  services_.evaluation.run.set_state_reason("the cost cap is reached");
  ASSERT_OK_AND_ASSIGN(StepProgress progress, evaluation_.Look("projects/default/runs/r"));
  EXPECT_EQ(progress.state, PipelineState::kRunning);
  EXPECT_THAT(progress.text, HasSubstr("the cost cap is reached"));
  services_.evaluation.run.set_state(evaluation_pb::Run::SUCCEEDED);
  ASSERT_OK_AND_ASSIGN(progress, evaluation_.Look("projects/default/runs/r"));
  EXPECT_EQ(progress.text, "projects/default/runs/r");
  EXPECT_THAT(evaluation_.GoOn("projects/default/runs/r", "id-3"), IsOkAndHolds(false));
}

TEST_F(RemoteStepsTest, OnlyWhatNoEarlierStepMakesIsLookedUpBeforehand) {
  ASSERT_OK(evaluation_.CheckNames(
      "default", R"({"suite_version": "projects/default/suites/s/versions/sha256:2",
    "systems": [{"base_model": {"model": "small"}},
                {"adapter": {"model": "{{steps.t.digest}}"}}]})"));
  const evaluation_pb::CreateRunRequest& asked = services_.evaluation.created;
  EXPECT_TRUE(asked.validate_only());
  EXPECT_EQ(asked.parent(), "projects/default");
  ASSERT_EQ(asked.run().systems_size(), 1);
  EXPECT_EQ(asked.run().systems(0).base_model().model(), "small");
  // Of a run whose systems are all to be made yet the suite is looked up; here nobody serves that.
  EXPECT_THAT(evaluation_.CheckNames(
                  "default", R"({"suite_version": "projects/default/suites/s/versions/sha256:2",
    "systems": [{"adapter": {"model": "{{steps.t.digest}}"}}]})"),
              StatusIs(absl::StatusCode::kUnimplemented));
  ASSERT_OK(curation_.CheckNames("default", R"({"name": "projects/default/datasets/d/runs/-",
    "inputs": [{"dataset_version": "{{steps.first.output}}"}]})"));
  EXPECT_EQ(services_.runs.created.parent(), "") << "not asked";
}

TEST_F(RemoteStepsTest, WhatIsNoResourceOfTheProjectIsRefused) {
  EXPECT_THAT(
      curation_.Check("default", R"({"name": "projects/default/datasets/d/runs/-", "x": 1})"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not a CurationRun")));
  EXPECT_THAT(curation_.Check("default", R"({"inputs": []})"), HasReasonThat("FIELD_REQUIRED"));
  EXPECT_THAT(curation_.Check("default", R"({"name": "projects/other/datasets/d/runs/-"})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("projects/default")));
  EXPECT_THAT(
      evaluation_.Check("default", R"({"suite_version": "projects/x/suites/s/versions/1"})"),
      HasReasonThat("FIELD_INVALID"));
}

}  // namespace
}  // namespace crossover::scheduler
