// The four services over a channel, with fakes below the domain.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>

#include "common/id/random.h"
#include "common/log/fake_logger.h"
#include "common/rpc/auth.h"
#include "common/rpc/channel.h"
#include "common/rpc/error_mapper.h"
#include "common/testing/matchers.h"
#include "common/time/clock.h"
#include "crossover/evaluation/v1/decision_service.grpc.pb.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "crossover/evaluation/v1/ladder_service.grpc.pb.h"
#include "crossover/evaluation/v1/suite_service.grpc.pb.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/domain/fake_store.h"
#include "services/evaluation/domain/run_executor.h"
#include "services/evaluation/domain/test_data.h"
#include "services/evaluation/transport/services.h"

namespace crossover::evaluation {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TransportTest : public ::testing::Test {
 protected:
  TransportTest() {
    facts_.task.name = "projects/default/tasks/t";
    facts_.task.target_score = 0.9;
    services_.push_back(NewSuiteService(context_));
    services_.push_back(NewEvaluationService(context_, watcher_));
    services_.push_back(NewLadderService(context_));
    services_.push_back(NewDecisionService(context_));
    grpc::ServerBuilder builder;
    for (auto& service : services_) builder.RegisterService(service.get());
    server_ = builder.BuildAndStart();
    channel_ = server_->InProcessChannel({});
    suite_stub_ = v1::SuiteService::NewStub(channel_);
    stub_ = v1::EvaluationService::NewStub(channel_);
    ladder_stub_ = v1::LadderService::NewStub(channel_);
    decision_stub_ = v1::DecisionService::NewStub(channel_);
  }
  ~TransportTest() override {
    watcher_.Stop();
    server_->Shutdown();
  }

  v1::FreezeSuiteRequest FreezeRequest(int rows,
                                       v1::SuiteVersion::Role role = v1::SuiteVersion::DEV) {
    v1::FreezeSuiteRequest request;
    request.set_parent("projects/default/suites/s");
    v1::SuiteVersion* suite = request.mutable_suite_version();
    suite->set_task(facts_.task.name);
    suite->set_role(role);
    v1::Grader* grader = suite->add_graders();
    grader->set_kind(v1::Grader::JSON_FIELDS);
    (*grader->mutable_parameters()->mutable_fields())["all"].set_bool_value(true);
    for (const SuiteRow& row : TestRows(rows)) {
      v1::SuiteRow* added = suite->mutable_inline_()->add_rows();
      added->add_messages()->set_role("user");
      added->mutable_messages(0)->set_content("question " +
                                              std::to_string(suite->inline_().rows_size() - 1));
      added->set_expected(row.expected);
      (*added->mutable_attributes())["fields.label"] = row.attributes.at("fields.label");
    }
    return request;
  }
  std::string Freeze(int rows, v1::SuiteVersion::Role role = v1::SuiteVersion::DEV) {
    auto suite =
        rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::FreezeSuite, FreezeRequest(rows, role));
    EXPECT_OK(suite);
    return suite.ok() ? suite->name() : "";
  }

  v1::CreateRunRequest RunRequest(const std::string& suite, std::vector<std::string> models) {
    v1::CreateRunRequest request;
    request.set_parent("projects/default");
    request.mutable_run()->set_suite_version(suite);
    request.mutable_run()->set_repeats(1);
    for (const std::string& model : models) {
      type::v1::System* system = request.mutable_run()->add_systems();
      system->mutable_base_model()->set_model(model);
      system->set_display_name(model);
      system->mutable_sampling()->set_temperature(0);
    }
    return request;
  }

  void Work() {
    std::atomic<bool> stop = false;
    auto claimed = store_.ClaimRun("worker", absl::Seconds(30));
    ASSERT_TRUE(claimed.ok() && claimed->has_value());
    EXPECT_OK(executor_.Execute(*FromDocument<evaluation::Run>(**claimed), "worker", stop));
  }

  FakeRandom random_;
  Clock& clock_ = SystemClock();
  UuidGenerator ids_{clock_, random_};
  FakeLogger logger_;
  metrics::Registry metrics_{"evaluation"};
  FakeStore store_{clock_};
  FakeRunner runner_{TestAnswer};
  FakeRows rows_{{}};
  FakeFacts facts_;
  Suites suites_{store_, rows_, clock_};
  Runs runs_{store_, runner_, facts_, clock_, ids_};
  Ladders ladders_{store_, runs_, facts_, clock_, ids_};
  Decisions decisions_{store_, runs_, facts_, clock_, ids_};
  RunExecutor executor_{store_, runner_, clock_, {}};
  RunWatcher watcher_{store_, absl::Milliseconds(10)};
  ServiceContext context_{store_, suites_, runs_, ladders_, decisions_, clock_, logger_, metrics_};
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::SuiteService::Stub> suite_stub_;
  std::unique_ptr<v1::EvaluationService::Stub> stub_;
  std::unique_ptr<v1::LadderService::Stub> ladder_stub_;
  std::unique_ptr<v1::DecisionService::Stub> decision_stub_;
};

TEST_F(TransportTest, SuiteIsFrozenReadAndListed) {
  auto suite = rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::FreezeSuite, FreezeRequest(6));
  ASSERT_OK(suite);
  EXPECT_THAT(suite->name(), HasSubstr("projects/default/suites/s/versions/sha256:"));
  EXPECT_EQ(suite->row_count(), 6);
  EXPECT_EQ(suite->graders(0).name(), "json_fields");
  EXPECT_TRUE(suite->graders(0).parameters().fields().at("all").bool_value());
  v1::GetSuiteVersionRequest get;
  get.set_name(suite->name());
  EXPECT_EQ(rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::GetSuiteVersion, get)->digest(),
            suite->digest());
  v1::ListSuiteVersionsRequest list;
  list.set_parent("projects/default/suites/-");
  list.set_filter("role = DEV");
  EXPECT_EQ(rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::ListSuiteVersions, list)
                ->suite_versions_size(),
            1);
  list.set_filter("role = TEST");
  EXPECT_EQ(rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::ListSuiteVersions, list)
                ->suite_versions_size(),
            0);
}

TEST_F(TransportTest, RowsOfATestSuiteStayHidden) {
  for (auto role : {v1::SuiteVersion::DEV, v1::SuiteVersion::TEST}) {
    v1::ListSuiteRowsRequest request;
    request.set_parent(Freeze(5, role));
    request.set_page_size(2);
    auto page = rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::ListSuiteRows, request);
    ASSERT_OK(page);
    EXPECT_EQ(page->rows_size(), 2);
    EXPECT_EQ(page->rows(0).expected().empty(), role == v1::SuiteVersion::TEST);
    request.set_page_token(page->next_page_token());
    EXPECT_EQ(
        rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::ListSuiteRows, request)->rows_size(), 2);
    request.set_filter("attributes.fields.label = b");
    EXPECT_THAT(rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::ListSuiteRows, request),
                HasReasonThat("PAGE_TOKEN_INVALID"));
    request.clear_page_token();
    request.set_page_size(0);
    EXPECT_EQ(
        rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::ListSuiteRows, request)->rows_size(), 2);
  }
}

TEST_F(TransportTest, WrongFieldsAreNamed) {
  v1::FreezeSuiteRequest request = FreezeRequest(3);
  request.mutable_suite_version()->mutable_graders(0)->set_kind(v1::Grader::ROUGE);
  EXPECT_THAT(rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::FreezeSuite, request),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("ROUGE")));
  request = FreezeRequest(3);
  request.mutable_suite_version()->clear_role();
  EXPECT_THAT(rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::FreezeSuite, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("suite_version.role")));
  request = FreezeRequest(3);
  (*request.mutable_suite_version()
        ->mutable_graders(0)
        ->mutable_parameters()
        ->mutable_fields())["filds"]
      .set_string_value("a");
  EXPECT_THAT(rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::FreezeSuite, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("filds")));
  v1::CreateRunRequest run = RunRequest(Freeze(3), {"good"});
  run.mutable_run()->mutable_systems(0)->mutable_sampling()->set_temperature(3);
  EXPECT_THAT(rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun, run),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("run.systems[0].sampling.temperature")));
}

TEST_F(TransportTest, RunReportsResultsAnswersAndAComparison) {
  auto run = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun,
                         RunRequest(Freeze(30), {"bad", "good"}));
  ASSERT_OK(run);
  EXPECT_EQ(run->state(), v1::Run::QUEUED);
  EXPECT_FALSE(run->systems(0).digest().empty());
  Work();
  v1::GetRunRequest get;
  get.set_name(run->name());
  run = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::GetRun, get);
  ASSERT_OK(run);
  EXPECT_EQ(run->state(), v1::Run::SUCCEEDED);
  EXPECT_EQ(run->answers_done(), 60);
  EXPECT_EQ(run->results(1).graders(0).score().point(), 1);
  EXPECT_EQ(run->results(1).graders(0).passed(), 30);
  EXPECT_EQ(run->results(1).graders(0).rows(), 30);
  EXPECT_EQ(run->results(1).graders(0).passed_share().method(), "wilson");
  EXPECT_EQ(run->results(1).latency().p50().point(), 0.1);
  EXPECT_FALSE(run->results(1).has_consistency()) << "asked once";

  v1::ListAnswersRequest answers;
  answers.set_parent(run->name());
  answers.set_filter("scores.json_fields < 1");
  answers.set_page_size(20);
  auto page = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::ListAnswers, answers);
  ASSERT_OK(page);
  EXPECT_EQ(page->answers_size(), 20);
  answers.set_page_token(page->next_page_token());
  EXPECT_EQ(rpc::Invoke(*stub_, &v1::EvaluationService::Stub::ListAnswers, answers)->answers_size(),
            10);

  v1::CompareRequest compare;
  compare.set_parent("projects/default");
  compare.add_runs(run->name());
  auto comparison = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::Compare, compare);
  ASSERT_OK(comparison);
  EXPECT_EQ(comparison->metrics(0).mcnemar().only_candidate(), 30);
  EXPECT_TRUE(comparison->metrics(0).significant());
  EXPECT_EQ(comparison->flips_size(), 30);
  v1::GetComparisonRequest get_comparison;
  get_comparison.set_name(comparison->name());
  EXPECT_EQ(rpc::Invoke(*stub_, &v1::EvaluationService::Stub::GetComparison, get_comparison)
                ->metrics_size(),
            comparison->metrics_size());
}

TEST_F(TransportTest, RepeatedCreateGivesTheSameRunAndAnotherPayloadIsRefused) {
  v1::CreateRunRequest request = RunRequest(Freeze(3), {"good"});
  request.set_request_id("6ba7b810-9dad-41d1-80b4-00c04fd430c8");
  auto first = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun, request);
  auto second = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun, request);
  ASSERT_OK(first);
  EXPECT_EQ(first->name(), second->name());
  request.mutable_run()->set_repeats(2);
  EXPECT_THAT(rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun, request),
              HasReasonThat("REQUEST_ID_REUSED"));
  request.set_request_id("abc");
  EXPECT_THAT(rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be a UUID")));
}

TEST_F(TransportTest, WatchBeginsWithASnapshotAndEndsWithTheRun) {
  auto run = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun,
                         RunRequest(Freeze(10), {"good"}));
  ASSERT_OK(run);
  grpc::ClientContext call;
  v1::WatchRunRequest watch;
  watch.set_name(run->name());
  auto stream = stub_->WatchRun(&call, watch);
  v1::WatchRunResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.snapshot().state(), v1::Run::QUEUED);
  Work();
  std::vector<int64_t> sequences;
  std::string token;
  v1::Run last;
  while (stream->Read(&response)) {
    if (response.has_event()) sequences.push_back(response.event().sequence());
    if (response.has_snapshot()) last = response.snapshot();
    if (token.empty() && response.has_event()) token = response.resume_token();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(last.state(), v1::Run::SUCCEEDED);
  EXPECT_EQ(sequences, (std::vector<int64_t>{1, 2}));

  grpc::ClientContext again;
  watch.set_resume_token(token);
  stream = stub_->WatchRun(&again, watch);
  sequences.clear();
  while (stream->Read(&response)) {
    if (response.has_event()) sequences.push_back(response.event().sequence());
  }
  EXPECT_EQ(sequences, (std::vector<int64_t>{2})) << "no gap, no repeat";
}

TEST_F(TransportTest, AWatchOutlivesADatabaseThatIsBrieflyAway) {
  auto run = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun,
                         RunRequest(Freeze(10), {"good"}));
  ASSERT_OK(run);
  store_.LoseEvents(3);
  grpc::ClientContext call;
  v1::WatchRunRequest watch;
  watch.set_name(run->name());
  auto stream = stub_->WatchRun(&call, watch);
  v1::WatchRunResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.snapshot().state(), v1::Run::QUEUED);
  EXPECT_EQ(store_.lost_events(), 0);
  store_.LoseEvents(3);
  Work();
  int events = 0;
  while (stream->Read(&response)) events += response.has_event();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(events, 2);
}

TEST_F(TransportTest, ATokenThatIsUnknownEndsTheWatchAtOnce) {
  auto run = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun,
                         RunRequest(Freeze(10), {"good"}));
  ASSERT_OK(run);
  for (const char* token : {"x", "-1", "99"}) {
    grpc::ClientContext call;
    v1::WatchRunRequest watch;
    watch.set_name(run->name());
    watch.set_resume_token(token);
    auto stream = stub_->WatchRun(&call, watch);
    v1::WatchRunResponse response;
    EXPECT_FALSE(stream->Read(&response)) << token;
    EXPECT_THAT(rpc::FromGrpc(stream->Finish()), HasReasonThat("RESUME_TOKEN_EXPIRED")) << token;
  }
}

TEST_F(TransportTest, WhatIsNotServedSaysWhatToDoInstead) {
  auto curve = rpc::Invoke(*ladder_stub_, &v1::LadderService::Stub::CreateLearningCurve, {});
  EXPECT_THAT(curve, HasReasonThat("NOT_IMPLEMENTED"));
  EXPECT_THAT(curve, StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("growing size")));
  auto import = rpc::Invoke(*suite_stub_, &v1::SuiteService::Stub::ImportPromptfoo, {});
  EXPECT_THAT(import, HasReasonThat("NOT_IMPLEMENTED"));
  EXPECT_THAT(import, StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("data set")));
}

// A key "Bearer blue" belongs to projects/blue; no key may use all.
class KeysOfProjects final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Principal> Authenticate(std::string_view authorization,
                                              std::string_view) override {
    rpc::Principal principal{.name = "test", .role = rpc::Role::kAdmin};
    constexpr std::string_view kBearer = "Bearer ";
    if (authorization.starts_with(kBearer))
      principal.project = "projects/" + std::string(authorization.substr(kBearer.size()));
    return principal;
  }
};

class TwoProjectsTest : public TransportTest {
 protected:
  TwoProjectsTest() {
    ServiceContext context = context_;
    context.authenticator = &keys_;
    keyed_.push_back(NewSuiteService(context));
    keyed_.push_back(NewEvaluationService(context, watcher_));
    keyed_.push_back(NewLadderService(context));
    keyed_.push_back(NewDecisionService(context));
    grpc::ServerBuilder builder;
    for (auto& service : keyed_) builder.RegisterService(service.get());
    keyed_server_ = builder.BuildAndStart();
    auto channel = keyed_server_->InProcessChannel({});
    suites_stub_ = v1::SuiteService::NewStub(channel);
    runs_stub_ = v1::EvaluationService::NewStub(channel);
    ladders_stub_ = v1::LadderService::NewStub(channel);
    decisions_stub_ = v1::DecisionService::NewStub(channel);
  }
  ~TwoProjectsTest() override {
    watcher_.Stop();
    keyed_server_->Shutdown();
  }

  // What a stranger's key gets, and that the owner's key gets something else.
  template <typename Stub, typename Request, typename Response>
  void ExpectForbidden(Stub& stub,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       const Request& request) {
    EXPECT_THAT(rpc::Invoke(stub, method, request, {.api_key = "blue"}),
                HasReasonThat("RESOURCE_FORBIDDEN"))
        << request.ShortDebugString();
    EXPECT_THAT(rpc::Invoke(stub, method, request, {.api_key = "default"}).status(),
                Not(HasReasonThat("RESOURCE_FORBIDDEN")))
        << request.ShortDebugString();
  }

  KeysOfProjects keys_;
  std::vector<std::unique_ptr<grpc::Service>> keyed_;
  std::unique_ptr<grpc::Server> keyed_server_;
  std::unique_ptr<v1::SuiteService::Stub> suites_stub_;
  std::unique_ptr<v1::EvaluationService::Stub> runs_stub_;
  std::unique_ptr<v1::LadderService::Stub> ladders_stub_;
  std::unique_ptr<v1::DecisionService::Stub> decisions_stub_;
};

template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}
template <typename Request>
Request Within(const std::string& parent) {
  Request request;
  request.set_parent(parent);
  return request;
}

TEST_F(TwoProjectsTest, AKeySeesItsOwnProjectAlone) {
  const std::string suite = Freeze(5);
  auto run = rpc::Invoke(*stub_, &v1::EvaluationService::Stub::CreateRun,
                         RunRequest(suite, {"good", "bad"}));
  ASSERT_OK(run);
  using Suites = v1::SuiteService::Stub;
  using Runs = v1::EvaluationService::Stub;
  using Ladders = v1::LadderService::Stub;
  using Decisions = v1::DecisionService::Stub;
  ExpectForbidden(*suites_stub_, &Suites::FreezeSuite, FreezeRequest(3));
  ExpectForbidden(*suites_stub_, &Suites::GetSuiteVersion,
                  Named<v1::GetSuiteVersionRequest>(suite));
  ExpectForbidden(*suites_stub_, &Suites::ListSuiteVersions,
                  Within<v1::ListSuiteVersionsRequest>("projects/default/suites/-"));
  ExpectForbidden(*suites_stub_, &Suites::ListSuiteRows, Within<v1::ListSuiteRowsRequest>(suite));
  ExpectForbidden(*suites_stub_, &Suites::Judge, Named<v1::JudgeRequest>(suite));
  ExpectForbidden(*runs_stub_, &Runs::CreateRun, RunRequest(suite, {"good"}));
  ExpectForbidden(*runs_stub_, &Runs::GetRun, Named<v1::GetRunRequest>(run->name()));
  ExpectForbidden(*runs_stub_, &Runs::ListRuns, Within<v1::ListRunsRequest>("projects/default"));
  ExpectForbidden(*runs_stub_, &Runs::ListAnswers, Within<v1::ListAnswersRequest>(run->name()));
  ExpectForbidden(*runs_stub_, &Runs::PauseRun, Named<v1::PauseRunRequest>(run->name()));
  ExpectForbidden(*runs_stub_, &Runs::ResumeRun, Named<v1::ResumeRunRequest>(run->name()));
  ExpectForbidden(*runs_stub_, &Runs::CancelRun, Named<v1::CancelRunRequest>(run->name()));
  ExpectForbidden(*runs_stub_, &Runs::Compare, Within<v1::CompareRequest>("projects/default"));
  ExpectForbidden(*runs_stub_, &Runs::GetComparison,
                  Named<v1::GetComparisonRequest>("projects/default/comparisons/c"));
  ExpectForbidden(*ladders_stub_, &Ladders::CreateLadder,
                  Within<v1::CreateLadderRequest>("projects/default"));
  ExpectForbidden(*ladders_stub_, &Ladders::GetLadder,
                  Named<v1::GetLadderRequest>("projects/default/ladders/l"));
  ExpectForbidden(*ladders_stub_, &Ladders::ListLadders,
                  Within<v1::ListLaddersRequest>("projects/default"));
  ExpectForbidden(*ladders_stub_, &Ladders::CancelLadder,
                  Named<v1::CancelLadderRequest>("projects/default/ladders/l"));
  ExpectForbidden(*decisions_stub_, &Decisions::CreateDecision,
                  Within<v1::CreateDecisionRequest>("projects/default/tasks/t"));
  ExpectForbidden(*decisions_stub_, &Decisions::ListDecisions,
                  Within<v1::ListDecisionsRequest>("projects/default/tasks/t"));
  ExpectForbidden(*decisions_stub_, &Decisions::GetDecision,
                  Named<v1::GetDecisionRequest>("projects/default/tasks/t/decisions/d"));

  grpc::ClientContext call;
  call.AddMetadata("authorization", "Bearer blue");
  auto stream = runs_stub_->WatchRun(&call, Named<v1::WatchRunRequest>(run->name()));
  v1::WatchRunResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_THAT(rpc::FromGrpc(stream->Finish()), HasReasonThat("RESOURCE_FORBIDDEN"));
}

TEST_F(TwoProjectsTest, AKeyMayNotReadAnothersThroughItsOwn) {
  const std::string suite = Freeze(5);
  const auto forbidden = [](const auto& result, const char* field) {
    EXPECT_THAT(result, HasReasonThat("RESOURCE_FORBIDDEN")) << field;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(field));
  };
  v1::CreateRunRequest run = RunRequest(suite, {"good"});
  run.set_parent("projects/blue");
  forbidden(
      rpc::Invoke(*runs_stub_, &v1::EvaluationService::Stub::CreateRun, run, {.api_key = "blue"}),
      "run.suite_version");
  run.mutable_run()->set_suite_version("projects/blue/suites/s/versions/sha256:1");
  run.mutable_run()->mutable_systems(0)->set_prompt_version("projects/default/tasks/t/prompts/p");
  forbidden(
      rpc::Invoke(*runs_stub_, &v1::EvaluationService::Stub::CreateRun, run, {.api_key = "blue"}),
      "run.systems[0].prompt_version");
  v1::CreateLadderRequest ladder = Within<v1::CreateLadderRequest>("projects/blue");
  ladder.mutable_ladder()->set_dev_suite(suite);
  forbidden(rpc::Invoke(*ladders_stub_, &v1::LadderService::Stub::CreateLadder, ladder,
                        {.api_key = "blue"}),
            "ladder.dev_suite");
  v1::CompareRequest compare = Within<v1::CompareRequest>("projects/blue");
  compare.add_runs("projects/default/runs/r");
  forbidden(
      rpc::Invoke(*runs_stub_, &v1::EvaluationService::Stub::Compare, compare, {.api_key = "blue"}),
      "runs");
  v1::CreateDecisionRequest decide = Within<v1::CreateDecisionRequest>("projects/blue/tasks/t");
  decide.mutable_decision()->mutable_inputs()->set_comparison("projects/default/comparisons/c");
  forbidden(rpc::Invoke(*decisions_stub_, &v1::DecisionService::Stub::CreateDecision, decide,
                        {.api_key = "blue"}),
            "decision.inputs.comparison");
}

TEST_F(TransportTest, WatchOfAnUnknownRunIsNotFound) {
  grpc::ClientContext call;
  v1::WatchRunRequest watch;
  watch.set_name("projects/default/runs/none");
  auto stream = stub_->WatchRun(&call, watch);
  v1::WatchRunResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(TransportTest, LadderClimbsAndADecisionIsMadeWaivedAndSigned) {
  v1::CreateLadderRequest create;
  create.set_parent("projects/default");
  create.mutable_ladder()->set_task(facts_.task.name);
  create.mutable_ladder()->set_dev_suite(Freeze(20));
  v1::Ladder::Rung* rung = create.mutable_ladder()->add_rungs();
  rung->set_kind(v1::Ladder::SYSTEM_PROMPT);
  rung->mutable_system()->mutable_base_model()->set_model("good");
  auto ladder = rpc::Invoke(*ladder_stub_, &v1::LadderService::Stub::CreateLadder, create);
  ASSERT_OK(ladder);
  EXPECT_OK(ladders_.AdvanceAll());
  Work();
  EXPECT_OK(ladders_.AdvanceAll());
  EXPECT_OK(ladders_.AdvanceAll());
  v1::GetLadderRequest get;
  get.set_name(ladder->name());
  ladder = rpc::Invoke(*ladder_stub_, &v1::LadderService::Stub::GetLadder, get);
  EXPECT_EQ(ladder->state(), v1::Ladder::MET) << ladder->state_reason();
  EXPECT_EQ(ladder->rungs(0).dev().point(), 1);

  v1::CreateDecisionRequest decide;
  decide.set_parent(facts_.task.name);
  (*decide.mutable_decision()->mutable_inputs()->mutable_thresholds())["maximum_latency_ms"] =
      "300";
  auto decision = rpc::Invoke(*decision_stub_, &v1::DecisionService::Stub::CreateDecision, decide);
  ASSERT_OK(decision);
  EXPECT_EQ(decision->recommendation(), v1::Decision::WAIT);
  EXPECT_EQ(decision->answers_size(), 5);
  EXPECT_EQ(decision->thresholds().at("maximum_latency_ms"), "300");
  ASSERT_EQ(decision->overridden_thresholds_size(), 1);
  EXPECT_EQ(decision->overridden_thresholds(0).name(), "maximum_latency_ms");
  EXPECT_EQ(decision->overridden_thresholds(0).value(), "300");
  EXPECT_EQ(decision->overridden_thresholds(0).default_value(), "600");
  EXPECT_EQ(decision->overridden_thresholds(0).origin(), "request");
  EXPECT_GT(decision->next_steps_size(), 0);
  v1::WaiveConditionRequest waive;
  waive.set_name(decision->name());
  waive.set_condition("clean_rows");
  waive.set_by("ana");
  waive.set_reason("a clean set exists");
  decision = rpc::Invoke(*decision_stub_, &v1::DecisionService::Stub::WaiveCondition, waive);
  ASSERT_OK(decision);
  bool waived = false;
  for (const auto& evidence : decision->evidence()) {
    waived |= evidence.condition() == "clean_rows" &&
              evidence.status() == type::v1::Evidence::WAIVED && evidence.waiver().by() == "ana";
  }
  EXPECT_TRUE(waived);
  v1::SignDecisionRequest sign;
  sign.set_name(decision->name());
  sign.set_by("ana");
  EXPECT_EQ(rpc::Invoke(*decision_stub_, &v1::DecisionService::Stub::SignDecision, sign)->state(),
            v1::Decision::SIGNED);
  EXPECT_THAT(rpc::Invoke(*decision_stub_, &v1::DecisionService::Stub::WaiveCondition, waive),
              HasReasonThat("DECISION_CLOSED"));
  v1::ListDecisionsRequest list;
  list.set_parent("projects/default/tasks/-");
  list.set_filter("state = SIGNED AND recommendation = WAIT");
  EXPECT_EQ(rpc::Invoke(*decision_stub_, &v1::DecisionService::Stub::ListDecisions, list)
                ->decisions_size(),
            1);
}

}  // namespace
}  // namespace crossover::evaluation
