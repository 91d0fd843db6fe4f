// key, webhook and pipeline against fake services.
#include <gmock/gmock.h>

#include <fstream>

#include "cli/output/error.h"
#include "cli/testing/cli_fixture.h"
#include "common/testing/temp_dir.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"
#include "crossover/scheduler/v1/pipeline_service.grpc.pb.h"
#include "crossover/scheduler/v1/webhook_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace registry = ::crossover::registry::v1;
namespace scheduler = ::crossover::scheduler::v1;
using scheduler::Pipeline;
using ::testing::HasSubstr;

class FakeProjects final : public registry::ProjectService::Service {
 public:
  registry::CreateApiKeyRequest created;
  registry::RotateApiKeyRequest rotated;
  std::string revoked;

  int lists = 0;

 private:
  grpc::Status GetProject(grpc::ServerContext*, const registry::GetProjectRequest* request,
                          registry::Project* response) override {
    if (request->name() != "projects/acme") {
      return testing::Refuse(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                             "there is no " + request->name());
    }
    response->set_name(request->name());
    return grpc::Status::OK;
  }
  grpc::Status ListProjects(grpc::ServerContext*, const registry::ListProjectsRequest*,
                            registry::ListProjectsResponse* response) override {
    ++lists;
    response->add_projects()->set_name("projects/acme");
    response->add_projects()->set_name("projects/default");
    return grpc::Status::OK;
  }
  grpc::Status CreateApiKey(grpc::ServerContext*, const registry::CreateApiKeyRequest* request,
                            registry::ApiKey* response) override {
    created = *request;
    *response = request->api_key();
    response->set_name("projects/default/apiKeys/06bq");
    response->set_secret("xo-secret");
    return grpc::Status::OK;
  }
  grpc::Status ListApiKeys(grpc::ServerContext*, const registry::ListApiKeysRequest*,
                           registry::ListApiKeysResponse* response) override {
    registry::ApiKey& key = *response->add_api_keys();
    key.set_name("projects/default/apiKeys/06bq");
    key.set_role(type::v1::ROLE_OPERATOR);
    key.set_state(registry::ApiKey::ACTIVE);
    key.set_prefix("xo-ab");
    return grpc::Status::OK;
  }
  grpc::Status RevokeApiKey(grpc::ServerContext*, const registry::RevokeApiKeyRequest* request,
                            registry::ApiKey* response) override {
    revoked = request->name();
    response->set_name(revoked);
    response->set_state(registry::ApiKey::REVOKED);
    return grpc::Status::OK;
  }
  grpc::Status RotateApiKey(grpc::ServerContext*, const registry::RotateApiKeyRequest* request,
                            registry::ApiKey* response) override {
    rotated = *request;
    response->set_name(request->name());
    response->set_secret("xo-other");
    return grpc::Status::OK;
  }
};

class FakePipelines final : public scheduler::PipelineService::Service {
 public:
  scheduler::CreatePipelineRequest created;
  std::vector<Pipeline> looks;  // what Watch streams
  std::string resumed;

 private:
  grpc::Status CreatePipeline(grpc::ServerContext*, const scheduler::CreatePipelineRequest* request,
                              Pipeline* response) override {
    created = *request;
    *response = request->pipeline();
    response->set_name("projects/default/pipelines/06bp");
    response->set_state(Pipeline::RUNNING);
    return grpc::Status::OK;
  }
  // Goes away after every second item.
  grpc::Status WatchPipeline(
      grpc::ServerContext*, const scheduler::WatchPipelineRequest* request,
      grpc::ServerWriter<scheduler::WatchPipelineResponse>* writer) override {
    const size_t first = request->resume_token().empty() ? 0 : std::stoul(request->resume_token());
    for (size_t i = first; i < looks.size(); ++i) {
      if (i == first + 2) return {grpc::StatusCode::UNAVAILABLE, "drains"};
      scheduler::WatchPipelineResponse item;
      item.set_resume_token(std::to_string(i + 1));
      *item.mutable_pipeline() = looks[i];
      writer->Write(item);
    }
    return grpc::Status::OK;
  }
  grpc::Status ResumePipeline(grpc::ServerContext*, const scheduler::ResumePipelineRequest* request,
                              Pipeline* response) override {
    resumed = request->name();
    response->set_state(Pipeline::RUNNING);
    return grpc::Status::OK;
  }
};

class FakeWebhooks final : public scheduler::WebhookService::Service {
 public:
  scheduler::CreateWebhookEndpointRequest created;
  scheduler::ListWebhookDeliveriesRequest listed;
  std::string redelivered;

 private:
  grpc::Status CreateWebhookEndpoint(grpc::ServerContext*,
                                     const scheduler::CreateWebhookEndpointRequest* request,
                                     scheduler::WebhookEndpoint* response) override {
    created = *request;
    response->set_name("projects/default/webhookEndpoints/06bw");
    response->set_secret("whsec_abc");
    return grpc::Status::OK;
  }
  grpc::Status ListWebhookDeliveries(grpc::ServerContext*,
                                     const scheduler::ListWebhookDeliveriesRequest* request,
                                     scheduler::ListWebhookDeliveriesResponse* response) override {
    listed = *request;
    scheduler::WebhookDelivery& delivery = *response->add_webhook_deliveries();
    delivery.set_name("projects/default/webhookEndpoints/06bw/deliveries/06bd");
    delivery.set_state(scheduler::WebhookDelivery::EXHAUSTED);
    delivery.set_attempts(10);
    delivery.set_response_status(500);
    delivery.set_response("no");
    return grpc::Status::OK;
  }
  grpc::Status RedeliverWebhook(grpc::ServerContext*,
                                const scheduler::RedeliverWebhookRequest* request,
                                scheduler::WebhookDelivery* response) override {
    redelivered = request->name();
    response->set_name(request->name());
    return grpc::Status::OK;
  }
};

class AutomationTest : public testing::CliTest {
 protected:
  AutomationTest() { Serve({&projects_, &pipelines_, &webhooks_}); }

  FakeProjects projects_;
  FakePipelines pipelines_;
  FakeWebhooks webhooks_;
};

TEST_F(AutomationTest, AKeysSecretIsAloneOnStdout) {
  ASSERT_EQ(Crossover({"key", "create", "--role", "viewer", "--title", "ci", "--expires", "24h",
                       "--route", "support", "--set", "limits.requests_per_minute=60"}),
            kExitOk)
      << err();
  EXPECT_EQ(out(), "xo-secret\n");
  const registry::ApiKey& key = projects_.created.api_key();
  EXPECT_EQ(key.role(), type::v1::ROLE_VIEWER);
  EXPECT_EQ(key.display_name(), "ci");
  EXPECT_EQ(key.routes(0), "support");
  EXPECT_EQ(key.limits().requests_per_minute(), 60);
  EXPECT_EQ(key.expire_time().seconds(), absl::ToUnixSeconds(clock_.Now()) + 86400);
  EXPECT_NE(projects_.created.request_id(), "");
  EXPECT_EQ(Crossover({"key", "create", "--role", "root"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("there is no role 'root'"));
}

TEST_F(AutomationTest, AProjectThatIsNotThereIsNamedWithTheOneThatWasMeant) {
  EXPECT_EQ(Crossover({"key", "list", "--project", "acem"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("there is no project 'acem', which --project names; did you mean "
                               "'acme'?"));
  EXPECT_EQ(out(), "");
  environment_["CROSSOVER_PROJECT"] = "projects/warehouse";
  EXPECT_EQ(Crossover({"key", "create"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("there is no project 'warehouse', which CROSSOVER_PROJECT names; "
                               "there are: acme, default"));
  EXPECT_EQ(projects_.created.parent(), "");
  EXPECT_EQ(projects_.lists, 2);
  environment_["CROSSOVER_PROJECT"] = "acme";
  EXPECT_EQ(Crossover({"key", "list"}), kExitOk) << err();
  environment_.erase("CROSSOVER_PROJECT");
  EXPECT_EQ(Crossover({"key", "list"}), kExitOk) << err();
  EXPECT_EQ(projects_.lists, 2);  // one that is there, and the one that always is
}

TEST_F(AutomationTest, KeysAreListedRevokedAndRotated) {
  ASSERT_EQ(Crossover({"key", "list"}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("operator"));
  ASSERT_EQ(Crossover({"key", "revoke", "06bq"}), kExitOk) << err();
  EXPECT_EQ(projects_.revoked, "projects/default/apiKeys/06bq");
  ASSERT_EQ(Crossover({"key", "rotate", "06bq", "--grace", "1h"}), kExitOk) << err();
  EXPECT_EQ(projects_.rotated.grace().seconds(), 3600);
  EXPECT_EQ(out(), "xo-other\n");
}

TEST_F(AutomationTest, AWebhookIsMadeAndItsDeliveriesTriedAgain) {
  ASSERT_EQ(Crossover({"webhook", "create", "https://example.com/h", "--event",
                       "fine_tuning.job.failed"}),
            kExitOk)
      << err();
  EXPECT_EQ(out(), "whsec_abc\n");
  EXPECT_EQ(webhooks_.created.webhook_endpoint().event_types(0), "fine_tuning.job.failed");
  ASSERT_EQ(Crossover({"webhook", "deliveries", "--state", "exhausted"}), kExitOk) << err();
  EXPECT_EQ(webhooks_.listed.parent(), "projects/default/webhookEndpoints/-");
  EXPECT_EQ(webhooks_.listed.filter(), "state = EXHAUSTED");
  EXPECT_THAT(out(), HasSubstr("500 no"));
  ASSERT_EQ(Crossover({"webhook", "redeliver", "06bw", "06bd"}), kExitOk) << err();
  EXPECT_EQ(webhooks_.redelivered, "projects/default/webhookEndpoints/06bw/deliveries/06bd");
}

TEST_F(AutomationTest, APipelineIsReadFromYamlFollowedAndResumed) {
  crossover::testing::TempDir folder;
  const std::string file = (folder / "pipeline.yaml").string();
  std::ofstream(file) << "steps:\n"
                         "- id: train\n"
                         "  kind: job\n"
                         "  resource: {kind: SFT, base_model: smollm2}\n";
  ASSERT_EQ(Crossover({"pipeline", "create", file, "--check"}), kExitOk) << err();
  EXPECT_TRUE(pipelines_.created.validate_only());
  EXPECT_THAT(out(), HasSubstr("checked only, nothing was created or started: 1 step is right\n"));
  EXPECT_THAT(out(), ::testing::Not(HasSubstr("running")));
  ASSERT_EQ(Crossover({"pipeline", "create", file}), kExitOk) << err();
  EXPECT_FALSE(pipelines_.created.validate_only());
  const Pipeline::Step& step = pipelines_.created.pipeline().steps(0);
  EXPECT_EQ(step.kind(), Pipeline::JOB);
  EXPECT_EQ(step.resource().fields().at("base_model").string_value(), "smollm2");

  Pipeline look = pipelines_.created.pipeline();
  look.set_state(Pipeline::RUNNING);
  look.mutable_steps(0)->set_state(Pipeline::RUNNING);
  look.mutable_steps(0)->set_created("projects/default/jobs/06bj");
  pipelines_.looks = {look, look};
  look.set_state(Pipeline::FAILED);
  look.mutable_steps(0)->set_state(Pipeline::FAILED);
  look.mutable_steps(0)->set_error("the loss is not finite");
  pipelines_.looks.push_back(look);
  EXPECT_EQ(Crossover({"pipeline", "status", "06bp", "--watch"}), kExitFailure);
  EXPECT_THAT(err(), HasSubstr("step train runs: projects/default/jobs/06bj"));
  EXPECT_THAT(err(), HasSubstr("crossover pipeline resume 06bp"));
  EXPECT_THAT(out(), HasSubstr("the loss is not finite"));
  ASSERT_EQ(Crossover({"pipeline", "resume", "06bp"}), kExitOk) << err();
  EXPECT_EQ(pipelines_.resumed, "projects/default/pipelines/06bp");
}

}  // namespace
}  // namespace crossover::cli
