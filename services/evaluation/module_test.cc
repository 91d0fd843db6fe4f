// The whole module on real Postgres: frozen, asked, compared over RPC, and going on after a
// restart.
#include "services/evaluation/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "common/blob/directory_blob_store.h"
#include "common/log/fake_logger.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/testing/temp_dir.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/evaluation/v1/decision_service.grpc.pb.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "crossover/evaluation/v1/suite_service.grpc.pb.h"
#include "crossover/inference/v1/inference_service.grpc.pb.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"

namespace crossover::evaluation {
namespace {

// "right" answers with what follows "say "; any other model says nothing of use.
class FakeModels final : public inference::v1::InferenceService::Service {
 public:
  grpc::Status Generate(grpc::ServerContext*, const inference::v1::GenerateRequest* request,
                        grpc::ServerWriter<inference::v1::GenerateResponse>* writer) override {
    if (++asked >= limit) return {grpc::StatusCode::UNAVAILABLE, "gone"};
    inference::v1::GenerateResponse piece;
    std::string said = request->chat().messages(0).content().substr(4);
    piece.set_text(request->model() == "sha256:right" ? said : "?");
    piece.set_finish_reason("stop");
    piece.mutable_usage()->set_input(100);
    piece.mutable_usage()->set_output(1);
    writer->Write(piece);
    return grpc::Status::OK;
  }
  grpc::Status ListLoadedModels(grpc::ServerContext*, const inference::v1::ListLoadedModelsRequest*,
                                inference::v1::ListLoadedModelsResponse* response) override {
    for (const char* name : {"right", "wrong"}) {
      auto* model = response->add_loaded_models();
      model->set_digest(std::string("sha256:") + name);
      model->add_aliases(name);
    }
    return grpc::Status::OK;
  }
  std::atomic<int> asked = 0;
  std::atomic<int> limit = 1'000'000;
};

class FakeProjects final : public registry::v1::ProjectService::Service {
 public:
  grpc::Status GetProject(grpc::ServerContext*, const registry::v1::GetProjectRequest*,
                          registry::v1::Project* response) override {
    response->mutable_price_list()->mutable_serving()->mutable_input()->set_units(10);
    return grpc::Status::OK;
  }
};

class FakeTasks final : public registry::v1::TaskService::Service {
 public:
  grpc::Status GetTask(grpc::ServerContext*, const registry::v1::GetTaskRequest* request,
                       registry::v1::Task* response) override {
    response->set_name(request->name());
    response->mutable_volume()->set_requests_per_day(100);
    return grpc::Status::OK;
  }
};

// No data set yet.
class FakeDatasets final : public curation::v1::DatasetService::Service {
 public:
  grpc::Status ListDatasets(grpc::ServerContext*, const curation::v1::ListDatasetsRequest*,
                            curation::v1::ListDatasetsResponse*) override {
    return grpc::Status::OK;
  }
};

class ModuleTest : public ::testing::Test {
 protected:
  ModuleTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&models_);
    builder.RegisterService(&projects_);
    builder.RegisterService(&tasks_);
    builder.RegisterService(&datasets_);
    others_ = builder.BuildAndStart();
    StartModule();
  }
  ~ModuleTest() override { StopModule(); }

  void StartModule() {
    auto channel = others_->InProcessChannel({});
    auto module = Module::Create({.poll_interval = absl::Milliseconds(20),
                                  .claim_ttl = absl::Seconds(2),
                                  .scratch = folder_ / "scratch"},
                                 {.pool = *pool_,
                                  .blobs = *blobs_,
                                  .clock = SystemClock(),
                                  .random = SystemRandom(),
                                  .registry = metrics_,
                                  .logger = logger_,
                                  .prompts = channel,
                                  .curation = channel,
                                  .inference = channel});
    ASSERT_OK(module);
    module_ = *std::move(module);
    auto server = rpc::Server::Start({.addresses = {"127.0.0.1:0"}}, {module_.get()}, logger_);
    ASSERT_OK(server);
    server_ = *std::move(server);
    channel_ = server_->InProcessChannel();
  }
  void StopModule() {
    channel_.reset();
    if (server_) server_->Stop();
    server_.reset();
    module_.reset();
  }

  std::string Freeze(int rows) {
    v1::FreezeSuiteRequest request;
    request.set_parent("projects/default/suites/words");
    request.mutable_suite_version()->set_task("projects/default/tasks/words");
    request.mutable_suite_version()->set_role(v1::SuiteVersion::TEST);
    request.mutable_suite_version()->add_graders()->set_kind(v1::Grader::EXACT);
    for (int i = 0; i < rows; ++i) {
      auto* row = request.mutable_suite_version()->mutable_inline_()->add_rows();
      row->add_messages()->set_role("user");
      row->mutable_messages(0)->set_content("say word" + std::to_string(i));
      row->set_expected("word" + std::to_string(i));
    }
    auto stub = v1::SuiteService::NewStub(channel_);
    auto suite = rpc::Invoke(*stub, &v1::SuiteService::Stub::FreezeSuite, request);
    EXPECT_OK(suite);
    return suite.ok() ? suite->name() : "";
  }

  v1::Run CreateRun(const std::string& suite) {
    v1::CreateRunRequest request;
    request.set_parent("projects/default");
    request.mutable_run()->set_suite_version(suite);
    request.mutable_run()->set_repeats(2);
    for (const char* model : {"wrong", "right"}) {
      request.mutable_run()->add_systems()->mutable_base_model()->set_model(model);
    }
    auto stub = v1::EvaluationService::NewStub(channel_);
    auto run = rpc::Invoke(*stub, &v1::EvaluationService::Stub::CreateRun, request);
    EXPECT_OK(run);
    return run.ok() ? *run : v1::Run();
  }

  // The run's last snapshot once it is over.
  v1::Run WatchToEnd(const std::string& name) {
    auto stub = v1::EvaluationService::NewStub(channel_);
    grpc::ClientContext call;
    v1::WatchRunRequest request;
    request.set_name(name);
    auto stream = stub->WatchRun(&call, request);
    v1::WatchRunResponse response;
    v1::Run last;
    while (stream->Read(&response)) {
      if (response.has_snapshot()) last = response.snapshot();
    }
    EXPECT_TRUE(stream->Finish().ok());
    return last;
  }

  testing::TempDir folder_;
  testing::PgDatabase database_{{Module::RequiredMigrations()}};
  std::unique_ptr<pg::Pool> pool_ = database_.NewPool("evaluation");
  std::unique_ptr<BlobStore> blobs_ =
      *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, SystemClock());
  FakeLogger logger_;
  metrics::Registry metrics_{"evaluation"};
  FakeModels models_;
  FakeProjects projects_;
  FakeTasks tasks_;
  FakeDatasets datasets_;
  std::unique_ptr<grpc::Server> others_;
  std::unique_ptr<Module> module_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ModuleTest, AsksARunToItsEndAndComparesWithPricesAndVolume) {
  EXPECT_OK(module_->Ready());
  v1::Run run = WatchToEnd(CreateRun(Freeze(25)).name());
  EXPECT_EQ(run.state(), v1::Run::SUCCEEDED) << run.state_reason();
  EXPECT_EQ(models_.asked, 100);
  EXPECT_EQ(run.results(1).graders(0).score().point(), 1);
  EXPECT_EQ(run.results(1).consistency().point(), 1) << "asked twice";
  v1::CompareRequest compare;
  compare.set_parent("projects/default");
  compare.add_runs(run.name());
  auto stub = v1::EvaluationService::NewStub(channel_);
  auto comparison = rpc::Invoke(*stub, &v1::EvaluationService::Stub::Compare, compare);
  ASSERT_OK(comparison);
  std::map<std::string, double> candidate;
  for (const auto& metric : comparison->metrics()) {
    candidate[metric.metric()] = metric.candidate().point();
  }
  EXPECT_EQ(candidate.at("accuracy"), 1);
  EXPECT_EQ(candidate.at("prompt_tokens"), 100);
  EXPECT_NEAR(candidate.at("cost_per_request"), 0.001, 1e-9);
  EXPECT_NEAR(candidate.at("cost_per_month"), 3, 1e-6);
  EXPECT_THAT(metrics_.Expose(),
              ::testing::HasSubstr("crossover_evaluation_answers_total{outcome=\"ok\"} 100"));
}

TEST_F(ModuleTest, AVerdictIsCountedByItsRecommendation) {
  v1::CreateDecisionRequest decide;
  decide.set_parent("projects/default/tasks/words");
  auto stub = v1::DecisionService::NewStub(channel_);
  auto decision = rpc::Invoke(*stub, &v1::DecisionService::Stub::CreateDecision, decide);
  ASSERT_OK(decision);
  EXPECT_EQ(decision->recommendation(), v1::Decision::WAIT) << "nothing is known";
  EXPECT_THAT(metrics_.Expose(),
              ::testing::HasSubstr("crossover_evaluation_decisions{recommendation=\"WAIT\"} 1"));
}

TEST_F(ModuleTest, ARunGoesOnInTheNextProcessAndNothingIsAskedTwice) {
  models_.limit = 40;  // the model server goes away in the middle
  v1::Run run = CreateRun(Freeze(25));
  while (models_.asked < 40) SystemClock().SleepFor(absl::Milliseconds(5));
  StopModule();
  models_.limit = 1'000'000;
  int before = models_.asked;
  StartModule();
  run = WatchToEnd(run.name());
  EXPECT_EQ(run.state(), v1::Run::SUCCEEDED) << run.state_reason();
  EXPECT_EQ(run.answers_done(), 100);
  // 39 were answered before; the rest was asked once.
  EXPECT_EQ(models_.asked - before, 61);
}

}  // namespace
}  // namespace crossover::evaluation
