// The whole module: gRPC admin, HTTP front door, Postgres, mirror, runner.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/http/client.h"
#include "common/log/fake_logger.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/testing/fake_upstream.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/testing/temp_dir.h"
#include "crossover/router/v1/experiment_service.grpc.pb.h"
#include "crossover/router/v1/route_service.grpc.pb.h"
#include "crossover/router/v1/traffic_service.grpc.pb.h"
#include "services/shadow_router/module.h"

namespace crossover::router {
namespace {

class RouterModuleTest : public ::testing::Test {
 protected:
  RouterModuleTest() {
    model_.SetResponder([](const http::Request& request) {
      const auto body = nlohmann::json::parse(request.body);
      // The tuned model is right, the prompted one is not.
      return testing::FakeUpstream::Reply{.content = body["model"] == "tuned" ? "right" : "wrong"};
    });
    Options options{.http_port = 0,
                    .model_server = model_.base_url(),
                    .journal = folder_ / "journal",
                    .flush_interval = absl::Milliseconds(20),
                    .tick_interval = absl::Milliseconds(20)};
    auto module = Module::Create(options, {.pool = *pool_,
                                           .clock = SystemClock(),
                                           .random = SystemRandom(),
                                           .registry = registry_,
                                           .logger = logger_,
                                           .registry_service = rpc::NewChannel("127.0.0.1:1")});
    EXPECT_OK(module);
    module_ = *std::move(module);
    auto server = rpc::Server::Start({.addresses = {"127.0.0.1:0"}}, {module_.get()}, logger_);
    EXPECT_OK(server);
    server_ = *std::move(server);
    const auto channel = server_->InProcessChannel();
    routes_ = v1::RouteService::NewStub(channel);
    experiments_ = v1::ExperimentService::NewStub(channel);
    traffic_ = v1::TrafficService::NewStub(channel);
  }
  ~RouterModuleTest() override { server_->Stop(); }

  http::ClientResponse Chat() {
    auto response = client_.Send(
        {.method = "POST",
         .url = "http://127.0.0.1:" + std::to_string(module_->http_port()) + "/v1/chat/completions",
         .body =
             R"({"model":"sorter","messages":[{"role":"user","content":"q"}],"metadata":{"crossover_label":"right"}})"});
    EXPECT_OK(response);
    return response.ok() ? *response : http::ClientResponse{};
  }

  testing::PgDatabase database_{{Module::RequiredMigrations()}};
  std::unique_ptr<pg::Pool> pool_ = database_.NewPool("router");
  testing::TempDir folder_;
  testing::FakeUpstream model_;
  FakeLogger logger_;
  metrics::Registry registry_{"router"};
  std::unique_ptr<Module> module_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::RouteService::Stub> routes_;
  std::unique_ptr<v1::ExperimentService::Stub> experiments_;
  std::unique_ptr<v1::TrafficService::Stub> traffic_;
  http::Client client_;
};

TEST_F(RouterModuleTest, ABetterCandidateTakesOverTheTrafficAndEverythingIsOnRecord) {
  v1::CreateRouteRequest create;
  create.set_parent("projects/default");
  create.set_route_id("sorter");
  create.mutable_route()->set_primary("prompt");
  (*create.mutable_route()->mutable_variants())["prompt"].mutable_base_model()->set_model("plain");
  (*create.mutable_route()->mutable_variants())["tuned"].mutable_adapter()->set_model("tuned");
  const auto route = rpc::Invoke<v1::RouteService::Stub, v1::CreateRouteRequest, v1::Route>(
      *routes_, &v1::RouteService::Stub::CreateRoute, create);
  ASSERT_OK(route);

  v1::CreateExperimentRequest request;
  request.set_parent("projects/default");
  v1::Experiment& experiment = *request.mutable_experiment();
  experiment.set_route(route->name());
  experiment.set_candidate("tuned");
  experiment.mutable_decision_interval()->set_nanos(20'000'000);
  experiment.mutable_calibration()->mutable_duration();
  experiment.mutable_calibration()->set_pairs(5);
  experiment.mutable_shadow()->mutable_duration();
  experiment.mutable_shadow()->set_pairs(50);
  experiment.mutable_reverse_shadow_duration();
  experiment.add_gates()->set_metric("error_rate");
  for (double weight : {0.5, 1.0}) {
    auto* step = experiment.add_steps();
    step->set_weight(weight);
    step->mutable_min_duration();
    step->set_min_requests(5);
  }
  const auto made =
      rpc::Invoke<v1::ExperimentService::Stub, v1::CreateExperimentRequest, v1::Experiment>(
          *experiments_, &v1::ExperimentService::Stub::CreateExperiment, request);
  ASSERT_OK(made);
  v1::StartExperimentRequest start;
  start.set_name(made->name());
  start.set_override_reason("a test");
  ASSERT_OK((rpc::Invoke<v1::ExperimentService::Stub, v1::StartExperimentRequest, v1::Experiment>(
      *experiments_, &v1::ExperimentService::Stub::StartExperiment, start)));

  v1::GetExperimentRequest get;
  get.set_name(made->name());
  v1::Experiment now;
  EXPECT_THAT(Chat().body, ::testing::HasSubstr("wrong"));
  // By time: how many requests fit between two looks of the experiment is the machine's affair.
  const absl::Time last = SystemClock().Now() + absl::Minutes(2);
  for (int i = 0; SystemClock().Now() < last && now.state() != v1::Experiment::COMPLETED; ++i) {
    EXPECT_EQ(Chat().status, 200);
    if (i % 10 == 0) {
      now = *rpc::Invoke<v1::ExperimentService::Stub, v1::GetExperimentRequest, v1::Experiment>(
          *experiments_, &v1::ExperimentService::Stub::GetExperiment, get);
      ASSERT_NE(now.state(), v1::Experiment::ROLLED_BACK) << now.state_reason();
    }
  }
  EXPECT_EQ(now.state(), v1::Experiment::COMPLETED);
  EXPECT_EQ(now.weight(), 1);
  EXPECT_GT(now.overrides_size(), 3);
  EXPECT_THAT(Chat().body, ::testing::HasSubstr("right"));
  v1::GetLedgerRequest ledger;
  ledger.set_name(made->name());
  const auto books =
      rpc::Invoke<v1::TrafficService::Stub, v1::GetLedgerRequest, v1::GetLedgerResponse>(
          *traffic_, &v1::TrafficService::Stub::GetLedger, ledger);
  ASSERT_OK(books);
  EXPECT_TRUE(books->balanced());
  EXPECT_THAT(registry_.Expose(),
              ::testing::HasSubstr("crossover_router_quality_difference{bound=\"upper\""));
}

}  // namespace
}  // namespace crossover::router
