// The registry through its RPCs, on a real database.
#include "services/registry/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/http/server.h"
#include "common/log/fake_logger.h"
#include "common/rpc/error_mapper.h"
#include "common/rpc/server.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/clock.h"
#include "crossover/registry/v1/project_service.grpc.pb.h"
#include "crossover/registry/v1/prompt_service.grpc.pb.h"
#include "crossover/registry/v1/task_service.grpc.pb.h"
#include "crossover/registry/v1/upstream_service.grpc.pb.h"

namespace crossover::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTask[] = "projects/default/tasks/classify";
constexpr char kPrompt[] = "projects/default/tasks/classify/prompts/main";

// The machine's clock, whose wall time a test may move: deadlines and pools go by the steady time.
class ShiftedClock final : public Clock {
 public:
  absl::Time Now() override { return SystemClock().Now() + shift_; }
  absl::Duration SteadyNow() override { return SystemClock().SteadyNow(); }
  void SleepFor(absl::Duration duration) override { SystemClock().SleepFor(duration); }
  void Advance(absl::Duration by) { shift_ += by; }

 private:
  absl::Duration shift_;
};

class ModuleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(module_, Module::Create({.model_server_url = "http://127.0.0.1:1/v1"},
                                                 {.pool = *pool_,
                                                  .clock = clock_,
                                                  .random = random_,
                                                  .registry = registry_,
                                                  .logger = logger_}));
    ASSERT_OK_AND_ASSIGN(
        server_, rpc::Server::Start({.addresses = {"127.0.0.1:0"}}, {module_.get()}, logger_));
    const auto channel = server_->InProcessChannel();
    projects_ = v1::ProjectService::NewStub(channel);
    tasks_ = v1::TaskService::NewStub(channel);
    prompts_ = v1::PromptService::NewStub(channel);
    upstreams_ = v1::UpstreamService::NewStub(channel);
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop();
  }

  template <typename Stub, typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    Stub& stub, const Request& request, Response& response) {
    grpc::ClientContext context;
    return rpc::FromGrpc((stub.*method)(&context, request, &response));
  }

  v1::Task CreateTask() {
    v1::CreateTaskRequest request;
    request.set_parent("projects/default");
    request.set_task_id("classify");
    request.mutable_task()->set_owner("team-a");
    request.mutable_task()->mutable_targets()->set_score(0.9);
    request.mutable_task()->mutable_declared()->add_symptoms("wrong_format");
    request.mutable_task()->set_state(v1::Task::ARCHIVED);  // output only: ignored
    v1::Task task;
    EXPECT_OK(Call(&v1::TaskService::Stub::CreateTask, *tasks_, request, task));
    return task;
  }

  void CreatePrompt() {
    CreateTask();
    v1::CreatePromptRequest request;
    request.set_parent(kTask);
    request.set_prompt_id("main");
    v1::Prompt prompt;
    ASSERT_OK(Call(&v1::PromptService::Stub::CreatePrompt, *prompts_, request, prompt));
  }

  static v1::PromptSpec Spec(const std::string& system) {
    v1::PromptSpec spec;
    auto* message = spec.add_messages();
    message->set_role("system");
    message->set_content(system);
    message = spec.add_messages();
    message->set_role("user");
    message->set_content("Text: {{input}}");
    return spec;
  }

  absl::StatusOr<v1::PromptVersion> AddVersion(const v1::PromptSpec& spec) {
    v1::CreatePromptVersionRequest request;
    request.set_parent(kPrompt);
    *request.mutable_prompt_version()->mutable_spec() = spec;
    v1::PromptVersion version;
    const absl::Status status =
        Call(&v1::PromptService::Stub::CreatePromptVersion, *prompts_, request, version);
    if (!status.ok()) return status;
    return version;
  }

  absl::Status Activate(const std::string& name, const std::string& reason) {
    v1::ActivatePromptVersionRequest request;
    request.set_name(name);
    request.set_override_reason(reason);
    v1::PromptVersion version;
    return Call(&v1::PromptService::Stub::ActivatePromptVersion, *prompts_, request, version);
  }

  v1::Prompt GetPrompt() {
    v1::GetPromptRequest request;
    request.set_name(kPrompt);
    v1::Prompt prompt;
    EXPECT_OK(Call(&v1::PromptService::Stub::GetPrompt, *prompts_, request, prompt));
    return prompt;
  }

  ShiftedClock clock_;
  FakeRandom random_;
  crossover::testing::PgDatabase db_{{Module::RequiredMigrations()}};
  std::unique_ptr<pg::Pool> pool_ = db_.NewPool("registry");
  FakeLogger logger_;
  metrics::Registry registry_{"test"};
  std::unique_ptr<Module> module_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::ProjectService::Stub> projects_;
  std::unique_ptr<v1::TaskService::Stub> tasks_;
  std::unique_ptr<v1::PromptService::Stub> prompts_;
  std::unique_ptr<v1::UpstreamService::Stub> upstreams_;
};

TEST_F(ModuleTest, ATaskKeepsWhatItWasGivenAndChangesByMaskAndEtag) {
  const v1::Task task = CreateTask();
  EXPECT_EQ(task.name(), kTask);
  EXPECT_EQ(task.state(), v1::Task::ACTIVE);
  EXPECT_EQ(task.targets().score(), 0.9);
  v1::UpdateTaskRequest request;
  request.mutable_task()->set_name(kTask);
  request.mutable_task()->set_retraining_plan("quarterly");
  request.mutable_task()->set_owner("ignored");
  request.mutable_task()->set_etag(task.etag());
  request.mutable_update_mask()->add_paths("retraining_plan");
  v1::Task changed;
  ASSERT_OK(Call(&v1::TaskService::Stub::UpdateTask, *tasks_, request, changed));
  EXPECT_EQ(changed.retraining_plan(), "quarterly");
  EXPECT_EQ(changed.owner(), "team-a");
  EXPECT_THAT(Call(&v1::TaskService::Stub::UpdateTask, *tasks_, request, changed),
              HasReasonThat("ETAG_MISMATCH"));
  request.mutable_update_mask()->add_paths("state");
  EXPECT_THAT(Call(&v1::TaskService::Stub::UpdateTask, *tasks_, request, changed),
              HasReasonThat("UPDATE_MASK_INVALID"));
  request.mutable_task()->clear_etag();
  request.mutable_update_mask()->Clear();
  request.mutable_task()->mutable_targets()->set_score(7);
  EXPECT_THAT(Call(&v1::TaskService::Stub::UpdateTask, *tasks_, request, changed),
              HasReasonThat("FIELD_INVALID"));
}

TEST_F(ModuleTest, AnArchivedTaskIsReadOnly) {
  CreatePrompt();
  v1::ArchiveTaskRequest archive;
  archive.set_name(kTask);
  v1::Task task;
  ASSERT_OK(Call(&v1::TaskService::Stub::ArchiveTask, *tasks_, archive, task));
  EXPECT_EQ(task.state(), v1::Task::ARCHIVED);
  v1::UpdateTaskRequest update;
  update.mutable_task()->set_name(kTask);
  update.mutable_task()->set_owner("x");
  EXPECT_THAT(Call(&v1::TaskService::Stub::UpdateTask, *tasks_, update, task),
              HasReasonThat("STATE_INVALID"));
  EXPECT_THAT(AddVersion(Spec("s")), HasReasonThat("STATE_INVALID"));
}

TEST_F(ModuleTest, TasksAreListedByFilterInPages) {
  v1::CreateTaskRequest request;
  request.set_parent("projects/default");
  v1::Task task;
  for (const char* id : {"a", "b", "c"}) {
    request.set_task_id(id);
    request.mutable_task()->set_owner(id == std::string("b") ? "other" : "me");
    ASSERT_OK(Call(&v1::TaskService::Stub::CreateTask, *tasks_, request, task));
  }
  v1::ListTasksRequest list;
  list.set_parent("projects/default");
  list.set_filter("owner = me");
  list.set_page_size(1);
  v1::ListTasksResponse page;
  ASSERT_OK(Call(&v1::TaskService::Stub::ListTasks, *tasks_, list, page));
  EXPECT_EQ(page.tasks(0).name(), "projects/default/tasks/c");
  list.set_page_token(page.next_page_token());
  v1::ListTasksResponse last;
  ASSERT_OK(Call(&v1::TaskService::Stub::ListTasks, *tasks_, list, last));
  EXPECT_EQ(last.tasks(0).name(), "projects/default/tasks/a");
  EXPECT_EQ(last.next_page_token(), "");
  list.set_filter("owner = other");
  EXPECT_THAT(Call(&v1::TaskService::Stub::ListTasks, *tasks_, list, page),
              HasReasonThat("PAGE_TOKEN_INVALID"));
}

TEST_F(ModuleTest, APromptVersionIsFrozenActivatedAndRolledBack) {
  CreatePrompt();
  ASSERT_OK_AND_ASSIGN(const v1::PromptVersion one, AddVersion(Spec("Answer.")));
  ASSERT_OK_AND_ASSIGN(const v1::PromptVersion same, AddVersion(Spec("Answer.")));
  EXPECT_EQ(one.name(), same.name());
  EXPECT_EQ(one.state(), v1::PromptVersion::DRAFT);
  ASSERT_OK_AND_ASSIGN(const v1::PromptVersion two, AddVersion(Spec("Answer briefly.")));
  EXPECT_EQ(two.parent(), one.name());
  EXPECT_THAT(Activate(one.name(), ""), HasReasonThat("PROMPT_NOT_EVALUATED"));
  ASSERT_OK(Activate(one.name(), "first one"));
  ASSERT_OK(Activate(two.name(), "second one"));
  EXPECT_EQ(GetPrompt().active_version(), two.name());
  EXPECT_EQ(GetPrompt().latest_version(), two.name());

  v1::RollbackPromptRequest rollback;
  rollback.set_name(kPrompt);
  rollback.set_reason("worse in production");
  v1::PromptVersion back;
  ASSERT_OK(Call(&v1::PromptService::Stub::RollbackPrompt, *prompts_, rollback, back));
  EXPECT_EQ(back.name(), one.name());
  EXPECT_EQ(back.state(), v1::PromptVersion::ACTIVE);
  EXPECT_EQ(GetPrompt().active_version(), one.name());

  v1::DiffPromptVersionRequest diff;
  diff.set_name(two.name());
  v1::DiffPromptVersionResponse changes;
  ASSERT_OK(Call(&v1::PromptService::Stub::DiffPromptVersion, *prompts_, diff, changes));
  ASSERT_EQ(changes.changes_size(), 1);
  EXPECT_EQ(changes.changes(0).field(), "messages[0].content");
  EXPECT_EQ(changes.changes(0).diff(), "-Answer.\n+Answer briefly.\n");
}

TEST_F(ModuleTest, AVersionIsRenderedAsItIsServed) {
  CreatePrompt();
  v1::PromptSpec spec = Spec("Answer in {{locale}}.");
  spec.set_variables_schema(R"({"type":"object","properties":{"locale":{"type":"string"}}})");
  auto* example = spec.mutable_few_shot()->add_rows();
  (*example->mutable_input())["input"] = "one";
  example->set_output("1");
  ASSERT_OK_AND_ASSIGN(const v1::PromptVersion version, AddVersion(spec));
  v1::RenderPromptVersionRequest request;
  request.set_name(version.name());
  (*request.mutable_variables())["locale"] = "de";
  auto* message = request.add_messages();
  message->set_role("user");
  message->set_content("two");
  v1::RenderPromptVersionResponse rendered;
  ASSERT_OK(Call(&v1::PromptService::Stub::RenderPromptVersion, *prompts_, request, rendered));
  std::vector<std::string> texts;
  for (const auto& each : rendered.messages()) texts.push_back(each.role() + ":" + each.content());
  EXPECT_THAT(texts, ElementsAre("system:Answer in de.", "user:Text: one", "assistant:1",
                                 "user:Text: two"));
}

TEST_F(ModuleTest, ASpecWithAnUnknownVariableIsRefusedWithItsPlace) {
  CreatePrompt();
  const auto version = AddVersion(Spec("Answer in {{locale}}."));
  EXPECT_THAT(version, HasReasonThat("PROMPT_INVALID"));
  EXPECT_THAT(std::string(version.status().message()),
              HasSubstr("messages[0].content: line 1 column 11: unknown variable `locale`"));
}

TEST_F(ModuleTest, HistoryIsImportedAsAChain) {
  CreatePrompt();
  v1::ImportHistoryRequest request;
  request.set_name(kPrompt);
  for (const char* text : {"first", "second", "third"})
    *request.add_entries()->mutable_spec() = Spec(text);
  v1::ImportHistoryResponse response;
  ASSERT_OK(Call(&v1::PromptService::Stub::ImportHistory, *prompts_, request, response));
  ASSERT_EQ(response.prompt_versions_size(), 3);
  EXPECT_EQ(response.prompt_versions(2).parent(), response.prompt_versions(1).name());
}

TEST_F(ModuleTest, DiagnosisAnswersSymptomsOfTheTaskAndOfTheRequest) {
  CreatePrompt();
  ASSERT_OK(AddVersion(Spec(std::string(9000, 'x'))));
  v1::DiagnoseTaskRequest request;
  request.set_name(kTask);
  request.add_symptoms("too_slow");
  v1::DiagnoseTaskResponse response;
  ASSERT_OK(Call(&v1::TaskService::Stub::DiagnoseTask, *tasks_, request, response));
  ASSERT_EQ(response.remedies_size(), 2);
  EXPECT_EQ(response.remedies(0).rung(), "structured_output");
  EXPECT_EQ(response.ceiling_signs(0).code(), "long_prompt");
}

TEST_F(ModuleTest, AKeyShowsItsSecretOnceAndOpensUntilItIsRevoked) {
  v1::CreateApiKeyRequest create;
  create.set_parent("projects/default");
  create.mutable_api_key()->set_role(crossover::type::v1::ROLE_DEVELOPER);
  create.mutable_api_key()->set_display_name("ci");
  v1::ApiKey key;
  create.set_request_id("r1");
  EXPECT_THAT(Call(&v1::ProjectService::Stub::CreateApiKey, *projects_, create, key),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be a UUID")));
  create.set_request_id("6ba7b810-9dad-41d1-80b4-00c04fd430c8");
  ASSERT_OK(Call(&v1::ProjectService::Stub::CreateApiKey, *projects_, create, key));
  const std::string secret = key.secret();
  EXPECT_THAT(secret, ::testing::StartsWith(key.prefix()));
  v1::ApiKey again;
  ASSERT_OK(Call(&v1::ProjectService::Stub::CreateApiKey, *projects_, create, again));
  EXPECT_EQ(again.name(), key.name());
  EXPECT_EQ(again.secret(), "");
  EXPECT_THAT(db_.Query("SELECT row_to_json(k)::text FROM registry.api_key k"),
              ::testing::Not(HasSubstr(secret)));

  const auto authenticator = NewKeyAuthenticator(*pool_, clock_, nullptr);
  const auto principal = authenticator->Authenticate("Bearer " + secret, "ipv4:10.0.0.1:1");
  ASSERT_OK(principal);
  EXPECT_EQ(principal->role, rpc::Role::kDeveloper);
  EXPECT_EQ(principal->project, "projects/default");
  EXPECT_THAT(authenticator->Authenticate("", "ipv4:127.0.0.1:1"),
              HasReasonThat("API_KEY_MISSING"));
  EXPECT_THAT(authenticator->Authenticate("Bearer xo-no", ""), HasReasonThat("API_KEY_INVALID"));

  v1::RotateApiKeyRequest rotate;
  rotate.set_name(key.name());
  rotate.mutable_grace()->set_seconds(60);
  v1::ApiKey rotated;
  ASSERT_OK(Call(&v1::ProjectService::Stub::RotateApiKey, *projects_, rotate, rotated));
  EXPECT_NE(rotated.secret(), secret);
  v1::AuthenticateKeyRequest check;
  check.set_secret_hash(key.key_hash());
  v1::AuthenticateKeyResponse owner;
  ASSERT_OK(Call(&v1::ProjectService::Stub::AuthenticateKey, *projects_, check, owner));
  EXPECT_EQ(owner.api_key().display_name(), "ci");
  clock_.Advance(absl::Seconds(61));
  EXPECT_THAT(Call(&v1::ProjectService::Stub::AuthenticateKey, *projects_, check, owner),
              HasReasonThat("API_KEY_INVALID"));

  v1::RevokeApiKeyRequest revoke;
  revoke.set_name(key.name());
  ASSERT_OK(Call(&v1::ProjectService::Stub::RevokeApiKey, *projects_, revoke, rotated));
  check.set_secret_hash(rotated.key_hash());
  EXPECT_THAT(Call(&v1::ProjectService::Stub::AuthenticateKey, *projects_, check, owner),
              HasReasonThat("API_KEY_INVALID"));
}

TEST_F(ModuleTest, WhereNoKeyIsNeededAnyKeyDoesUntilThereAreKeys) {
  rpc::LoopbackAuthenticator loopback;
  const auto authenticator = NewKeyAuthenticator(*pool_, clock_, &loopback);
  constexpr char kHere[] = "ipv4:127.0.0.1:1";
  constexpr char kElsewhere[] = "ipv4:10.0.0.1:1";
  const auto anything = authenticator->Authenticate("Bearer anything", kHere);
  ASSERT_OK(anything);
  EXPECT_EQ(anything->name, "loopback");
  EXPECT_THAT(authenticator->Authenticate("Bearer anything", kElsewhere),
              HasReasonThat("API_KEY_INVALID"));

  v1::CreateApiKeyRequest create;
  create.set_parent("projects/default");
  create.mutable_api_key()->set_role(crossover::type::v1::ROLE_DEVELOPER);
  v1::ApiKey key;
  ASSERT_OK(Call(&v1::ProjectService::Stub::CreateApiKey, *projects_, create, key));
  const auto refused = authenticator->Authenticate("Bearer anything", kHere);
  EXPECT_THAT(refused, HasReasonThat("API_KEY_INVALID"));
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("from this machine no key is needed"));

  v1::RevokeApiKeyRequest revoke;
  revoke.set_name(key.name());
  v1::ApiKey revoked;
  ASSERT_OK(Call(&v1::ProjectService::Stub::RevokeApiKey, *projects_, revoke, revoked));
  EXPECT_OK(authenticator->Authenticate("Bearer anything", kHere));
  EXPECT_THAT(authenticator->Authenticate("Bearer " + key.secret(), kHere),
              HasReasonThat("API_KEY_INVALID"));
}

TEST_F(ModuleTest, UpstreamsHoldReferencesToCredentialsAndNeverTheKey) {
  v1::CreateUpstreamRequest request;
  request.set_parent("projects/default");
  request.set_upstream_id("vendor");
  request.mutable_upstream()->set_kind(v1::Upstream::OPENAI);
  request.mutable_upstream()->set_base_url("https://vendor.example/v1");
  request.mutable_upstream()->set_credential_ref("sk-secret");
  v1::Upstream upstream;
  EXPECT_THAT(Call(&v1::UpstreamService::Stub::CreateUpstream, *upstreams_, request, upstream),
              HasReasonThat("FIELD_INVALID"));
  request.mutable_upstream()->set_credential_ref("env:VENDOR_KEY");
  EXPECT_OK(Call(&v1::UpstreamService::Stub::CreateUpstream, *upstreams_, request, upstream));
}

TEST_F(ModuleTest, AProbeRecordsWhatAnswersAndWhatDoesNot) {
  v1::GetUpstreamRequest get;
  get.set_name("projects/default/upstreams/model-server");
  v1::Upstream upstream;
  ASSERT_OK(Call(&v1::UpstreamService::Stub::GetUpstream, *upstreams_, get, upstream));
  EXPECT_EQ(upstream.base_url(), "http://127.0.0.1:1/v1");
  v1::ProbeUpstreamRequest probe;
  probe.set_name(get.name());
  v1::ProbeUpstreamResponse response;
  ASSERT_OK(Call(&v1::UpstreamService::Stub::ProbeUpstream, *upstreams_, probe, response));
  EXPECT_EQ(response.upstream().state(), v1::Upstream::UNHEALTHY);
  EXPECT_FALSE(response.error().empty());

  http::Server http({.port = 0}, logger_);
  http.Handle("GET", "/v1/models", [](const http::Request&) {
    return http::Response::Json(200, R"({"data":[{"id":"m"}]})");
  });
  http.Handle("POST", "/v1/chat/completions", [](const http::Request&) {
    return http::Response::Json(200, R"({"model":"m","system_fingerprint":"fp","choices":[]})");
  });
  ASSERT_OK(http.Start());
  v1::UpdateUpstreamRequest update;
  update.mutable_upstream()->set_name(get.name());
  update.mutable_upstream()->set_base_url("http://127.0.0.1:" + std::to_string(http.port()) +
                                          "/v1");
  ASSERT_OK(Call(&v1::UpstreamService::Stub::UpdateUpstream, *upstreams_, update, upstream));
  response.Clear();
  ASSERT_OK(Call(&v1::UpstreamService::Stub::ProbeUpstream, *upstreams_, probe, response));
  EXPECT_EQ(response.upstream().state(), v1::Upstream::READY) << response.error();
  EXPECT_EQ(response.upstream().last_revision().at("m"), "m fp");
  // What the server recorded survives a change by people.
  update.mutable_upstream()->clear_base_url();
  update.mutable_upstream()->set_data_processor("us");
  ASSERT_OK(Call(&v1::UpstreamService::Stub::UpdateUpstream, *upstreams_, update, upstream));
  EXPECT_EQ(upstream.last_revision().at("m"), "m fp");
}

TEST_F(ModuleTest, TheDefaultProjectStays) {
  v1::DeleteProjectRequest request;
  request.set_name("projects/default");
  google::protobuf::Empty empty;
  EXPECT_THAT(Call(&v1::ProjectService::Stub::DeleteProject, *projects_, request, empty),
              HasReasonThat("RESOURCE_IN_USE"));
}

TEST_F(ModuleTest, CollectionsSayThatTheyComeLater) {
  v1::GetCollectionRequest request;
  request.set_name("projects/default/collections/c");
  v1::Collection collection;
  EXPECT_THAT(Call(&v1::UpstreamService::Stub::GetCollection, *upstreams_, request, collection),
              HasReasonThat("NOT_IMPLEMENTED"));
}

}  // namespace
}  // namespace crossover::registry
