// The gRPC services over the fake store, through a real server.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/id/random.h"
#include "common/log/fake_logger.h"
#include "common/rpc/channel.h"
#include "common/rpc/error_mapper.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/transport/experiment_service.h"
#include "services/shadow_router/transport/route_service.h"
#include "services/shadow_router/transport/traffic_service.h"

namespace crossover::router {
namespace {

using ::testing::HasSubstr;

// Everybody is who the test says.
class Impersonator final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Principal> Authenticate(std::string_view, std::string_view) override {
    return principal;
  }
  rpc::Principal principal{.name = "loopback", .role = rpc::Role::kAdmin};
};

class ServicesTest : public ::testing::Test {
 protected:
  ServicesTest() {
    catalog_.Put("projects/default/upstreams/u",
                 UpstreamInfo{.name = "u", .base_url = "http://u/v1"});
    auto journal = Journal::Open((folder_ / "journal").string(), 1 << 20);
    EXPECT_OK(journal);
    journal_ = *std::move(journal);
    flusher_ = std::make_unique<Flusher>(books_, store_, *journal_, logger_);
    control_.SetObserver([this](const Report& report) { watchers_.Notify(report); });
    traffic_service_ = std::make_unique<TrafficService>(store_, *flusher_, ids_, clock_, handler_);
    grpc::ServerBuilder builder;
    builder.RegisterService(&route_service_);
    builder.RegisterService(&experiment_service_);
    builder.RegisterService(traffic_service_.get());
    server_ = builder.BuildAndStart();
    const auto channel = server_->InProcessChannel({});
    routes_ = v1::RouteService::NewStub(channel);
    experiments_ = v1::ExperimentService::NewStub(channel);
    traffic_ = v1::TrafficService::NewStub(channel);
  }
  ~ServicesTest() override {
    watchers_.Close();
    server_->Shutdown();
  }

  // OK or the status that came over the wire.
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return rpc::FromGrpc((stub.*method)(&context, request, response));
  }

  v1::CreateRouteRequest RouteRequest() {
    v1::CreateRouteRequest request;
    request.set_parent("projects/default");
    request.set_route_id("sorter");
    request.mutable_route()->set_primary("old");
    for (const char* name : {"old", "new"}) {
      auto* upstream = (*request.mutable_route()->mutable_variants())[name].mutable_upstream();
      upstream->set_upstream("projects/default/upstreams/u");
      upstream->set_model(name);
    }
    return request;
  }
  v1::Experiment MakeExperiment() {
    v1::Route route;
    EXPECT_OK(Call(*routes_, &v1::RouteService::Stub::CreateRoute, RouteRequest(), &route));
    v1::CreateExperimentRequest request;
    request.set_parent("projects/default");
    request.mutable_experiment()->set_route(route.name());
    request.mutable_experiment()->set_candidate("new");
    request.mutable_experiment()->mutable_shadow()->mutable_duration()->set_seconds(60);
    request.set_request_id("6ba7b810-9dad-41d1-80b4-00c04fd430c8");
    v1::Experiment made;
    EXPECT_OK(Call(*experiments_, &v1::ExperimentService::Stub::CreateExperiment, request, &made));
    return made;
  }

  FakeClock clock_;
  FakeLogger logger_;
  testing::TempDir folder_;
  FakeRouterStore store_;
  FakeCatalog catalog_;
  RoutingTableHolder table_;
  ExperimentControl control_{{store_, catalog_, clock_, logger_, table_, {}}};
  Books books_{"i", "1", clock_};
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Flusher> flusher_;
  UuidGenerator ids_{clock_, SystemRandom()};
  metrics::Registry registry_{"router"};
  Impersonator who_;
  rpc::Handler handler_{{.service = "crossover.router.v1.Test", .authenticator = &who_},
                        SystemClock(),
                        logger_,
                        registry_};
  ExperimentWatchers watchers_{store_, control_, absl::Milliseconds(20)};
  RouteService route_service_{store_, control_, clock_, handler_};
  ExperimentService experiment_service_{{store_, control_, watchers_, ids_, clock_, handler_}};
  std::unique_ptr<TrafficService> traffic_service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::RouteService::Stub> routes_;
  std::unique_ptr<v1::ExperimentService::Stub> experiments_;
  std::unique_ptr<v1::TrafficService::Stub> traffic_;
};

TEST_F(ServicesTest, ARouteIsServedAsSoonAsItIsCreatedAndABadOneSaysWhy) {
  v1::CreateRouteRequest request = RouteRequest();
  v1::Route route;
  request.set_validate_only(true);
  ASSERT_OK(Call(*routes_, &v1::RouteService::Stub::CreateRoute, request, &route));
  EXPECT_EQ(table_.Get()->Find("sorter"), nullptr);
  request.set_validate_only(false);
  ASSERT_OK(Call(*routes_, &v1::RouteService::Stub::CreateRoute, request, &route));
  EXPECT_EQ(route.name(), "projects/default/routes/sorter");
  EXPECT_NE(table_.Get()->Find("sorter"), nullptr);
  EXPECT_THAT(Call(*routes_, &v1::RouteService::Stub::CreateRoute, request, &route),
              HasReasonThat("RESOURCE_EXISTS"));
  request.set_route_id("Bad Name");
  EXPECT_THAT(Call(*routes_, &v1::RouteService::Stub::CreateRoute, request, &route),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_route_id("other");
  request.mutable_route()->set_primary("none");
  EXPECT_THAT(Call(*routes_, &v1::RouteService::Stub::CreateRoute, request, &route),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("primary")));
}

TEST_F(ServicesTest, AnExperimentGoesByItsVerbsAndShowsWhatWasLowered) {
  const v1::Experiment made = MakeExperiment();
  EXPECT_EQ(made.state(), v1::Experiment::DRAFT);
  ASSERT_EQ(made.overrides_size(), 1);
  EXPECT_THAT(made.overrides(0), HasSubstr("shadow_duration = 1m"));
  v1::Experiment now;
  v1::StartExperimentRequest start;
  start.set_name(made.name());
  EXPECT_THAT(Call(*experiments_, &v1::ExperimentService::Stub::StartExperiment, start, &now),
              HasReasonThat("CANDIDATE_NOT_EVALUATED"));
  start.set_override_reason("a test");
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::StartExperiment, start, &now));
  EXPECT_EQ(now.state(), v1::Experiment::CALIBRATING);
  EXPECT_THAT(Call(*experiments_, &v1::ExperimentService::Stub::StartExperiment, start, &now),
              HasReasonThat("STATE_INVALID"));

  v1::ExplainExperimentRequest explain;
  explain.set_name(made.name());
  v1::ExplainExperimentResponse explained;
  ASSERT_OK(
      Call(*experiments_, &v1::ExperimentService::Stub::ExplainExperiment, explain, &explained));
  EXPECT_THAT(explained.summary(), HasSubstr("CALIBRATING"));
  EXPECT_GT(explained.conditions_size(), 0);
  EXPECT_EQ(explained.transitions_size(), 1);

  v1::RollbackExperimentRequest rollback;
  rollback.set_name(made.name());
  EXPECT_THAT(Call(*experiments_, &v1::ExperimentService::Stub::RollbackExperiment, rollback, &now),
              HasReasonThat("FIELD_REQUIRED"));
  rollback.set_reason("enough");
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::RollbackExperiment, rollback, &now));
  EXPECT_EQ(now.state(), v1::Experiment::ROLLED_BACK);
}

TEST_F(ServicesTest, ADraftIsDeletedAndWhatWasStartedIsNot) {
  using Stub = v1::ExperimentService::Stub;
  const v1::Experiment made = MakeExperiment();
  v1::DeleteExperimentRequest remove;
  remove.set_name(made.name());
  remove.set_etag("0");
  google::protobuf::Empty nothing;
  EXPECT_THAT(Call(*experiments_, &Stub::DeleteExperiment, remove, &nothing),
              HasReasonThat("ETAG_MISMATCH"));
  remove.set_etag(made.etag());
  EXPECT_OK(Call(*experiments_, &Stub::DeleteExperiment, remove, &nothing));
  v1::GetExperimentRequest get;
  get.set_name(made.name());
  v1::Experiment now;
  EXPECT_THAT(Call(*experiments_, &Stub::GetExperiment, get, &now),
              StatusIs(absl::StatusCode::kNotFound));

  v1::CreateExperimentRequest create;
  create.set_parent("projects/default");
  create.mutable_experiment()->set_route(made.route());
  create.mutable_experiment()->set_candidate("new");
  ASSERT_OK(Call(*experiments_, &Stub::CreateExperiment, create, &now));
  v1::StartExperimentRequest start;
  start.set_name(now.name());
  start.set_override_reason("a test");
  ASSERT_OK(Call(*experiments_, &Stub::StartExperiment, start, &now));
  remove.set_name(now.name());
  remove.clear_etag();
  const absl::Status started = Call(*experiments_, &Stub::DeleteExperiment, remove, &nothing);
  EXPECT_THAT(started, StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("is CALIBRATING, and only a DRAFT is deleted; end it "
                                          "with AbortExperiment")));
  EXPECT_THAT(started, HasReasonThat("STATE_INVALID"));
  v1::AbortExperimentRequest abort;
  abort.set_name(now.name());
  ASSERT_OK(Call(*experiments_, &Stub::AbortExperiment, abort, &now));
  EXPECT_THAT(Call(*experiments_, &Stub::DeleteExperiment, remove, &nothing),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("it has ended")));
}

TEST_F(ServicesTest, AfterTheStartOnlyBudgetsShareAndLabelsChange) {
  const v1::Experiment made = MakeExperiment();
  v1::UpdateExperimentRequest update;
  update.mutable_experiment()->set_name(made.name());
  update.mutable_experiment()->set_margin(0.05);
  v1::Experiment now;
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::UpdateExperiment, update, &now));
  EXPECT_EQ(now.margin(), 0.05);
  v1::StartExperimentRequest start;
  start.set_name(made.name());
  start.set_override_reason("a test");
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::StartExperiment, start, &now));
  EXPECT_THAT(Call(*experiments_, &v1::ExperimentService::Stub::UpdateExperiment, update, &now),
              HasReasonThat("UPDATE_MASK_INVALID"));
  update.mutable_experiment()->clear_margin();
  update.mutable_experiment()->set_shadow_share(0.25);
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::UpdateExperiment, update, &now));
  EXPECT_EQ(table_.Get()->Find("sorter")->plan.shadow_share, 2'500);
}

TEST_F(ServicesTest, AWatcherSeesEveryMoveAndTheEnd) {
  const v1::Experiment made = MakeExperiment();
  const auto watch = [&](grpc::ClientContext& context, const std::string& token) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::WatchExperimentRequest request;
    request.set_name(made.name());
    request.set_resume_token(token);
    return experiments_->WatchExperiment(&context, request);
  };
  grpc::ClientContext context;
  const auto reader = watch(context, "");
  v1::WatchExperimentResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(message.snapshot().state(), v1::Experiment::DRAFT);
  EXPECT_EQ(message.resume_token(), "0");
  // Moves that this process was not told of, as another router makes them.
  ExperimentControl other({store_, catalog_, clock_, logger_, table_, {}});
  ASSERT_OK(other.Do(made.name(), Verb::kStart, "ann", "a test"));
  ASSERT_OK(control_.Do(made.name(), Verb::kAbort, "bob", ""));
  std::vector<std::string> events;
  v1::Experiment last;
  while (reader->Read(&message)) {
    if (message.has_event()) events.push_back(message.event().type());
    if (message.has_snapshot()) last = message.snapshot();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_THAT(events, ::testing::ElementsAre("CALIBRATING", "ABORTED"));
  EXPECT_EQ(last.state(), v1::Experiment::ABORTED);

  // What was missed is told again, even of an experiment that has ended.
  grpc::ClientContext again;
  const auto resumed = watch(again, "1");
  ASSERT_TRUE(resumed->Read(&message));
  EXPECT_EQ(message.event().sequence(), 2);
  EXPECT_EQ(message.event().data().fields().at("actor").string_value(), "bob");
  ASSERT_TRUE(resumed->Read(&message));
  EXPECT_EQ(message.snapshot().state(), v1::Experiment::ABORTED);
  EXPECT_FALSE(resumed->Read(&message));
  EXPECT_TRUE(resumed->Finish().ok());
  for (const char* bad : {"99", "x", "-1"}) {
    grpc::ClientContext context_of_bad;
    const auto refused = watch(context_of_bad, bad);
    EXPECT_FALSE(refused->Read(&message));
    EXPECT_THAT(rpc::FromGrpc(refused->Finish()), HasReasonThat("RESUME_TOKEN_EXPIRED")) << bad;
  }
}

TEST_F(ServicesTest, AKeyOfOneProjectTouchesNothingOfAnother) {
  const v1::Experiment made = MakeExperiment();
  Pair pair{.id = ids_.NextId(), .experiment = made.name()};
  ASSERT_OK(store_.Flush({.instance = "i", .incarnation = "1", .pairs = {pair}}));
  who_.principal = {.name = "apiKeys/b", .project = "projects/b", .role = rpc::Role::kAdmin};
  v1::Route route;
  v1::Experiment experiment;
  EXPECT_THAT(Call(*routes_, &v1::RouteService::Stub::CreateRoute, RouteRequest(), &route),
              HasReasonThat("RESOURCE_FORBIDDEN"));
  v1::CreateRouteRequest foreign = RouteRequest();
  foreign.set_parent("projects/b");
  EXPECT_THAT(Call(*routes_, &v1::RouteService::Stub::CreateRoute, foreign, &route),
              HasReasonThat("RESOURCE_FORBIDDEN"))
      << "its upstreams are the other project's";
  v1::UpdateRouteRequest update;
  update.mutable_route()->set_name("projects/default/routes/sorter");
  EXPECT_THAT(Call(*routes_, &v1::RouteService::Stub::UpdateRoute, update, &route),
              HasReasonThat("RESOURCE_FORBIDDEN"));
  v1::AbortExperimentRequest abort;
  abort.set_name(made.name());
  EXPECT_THAT(
      Call(*experiments_, &v1::ExperimentService::Stub::AbortExperiment, abort, &experiment),
      HasReasonThat("RESOURCE_FORBIDDEN"));
  v1::GetPairRequest get;
  v1::Pair found;
  get.set_name(made.name() + "/pairs/" + pair.id);
  EXPECT_THAT(Call(*traffic_, &v1::TrafficService::Stub::GetPair, get, &found),
              HasReasonThat("RESOURCE_FORBIDDEN"));
  get.set_name("projects/b/experiments/own/pairs/" + pair.id);
  EXPECT_THAT(Call(*traffic_, &v1::TrafficService::Stub::GetPair, get, &found),
              HasReasonThat("RESOURCE_NOT_FOUND"));
  who_.principal.project = "projects/default";
  get.set_name(made.name() + "/pairs/" + pair.id);
  EXPECT_OK(Call(*traffic_, &v1::TrafficService::Stub::GetPair, get, &found));
}

TEST_F(ServicesTest, AKeySpeaksForItself) {
  const v1::Experiment made = MakeExperiment();
  v1::StartExperimentRequest start;
  start.set_name(made.name());
  start.set_override_reason("a test");
  v1::Experiment now;
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::StartExperiment, start, &now));
  v1::AdvanceExperimentRequest advance;
  advance.set_name(made.name());
  advance.set_reason("a test");
  advance.set_by("ann");
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::AdvanceExperiment, advance, &now));
  EXPECT_EQ(store_.ListTransitions(made.name())->back().actor, "ann");
  who_.principal.name = "apiKeys/06b";
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::AdvanceExperiment, advance, &now));
  EXPECT_EQ(store_.ListTransitions(made.name())->back().actor, "apiKeys/06b");
}

TEST_F(ServicesTest, WhoIsInTheCanaryCannotChangeUnderAnExperiment) {
  const v1::Experiment made = MakeExperiment();
  v1::UpdateRouteRequest update;
  update.mutable_route()->set_name(made.route());
  update.mutable_route()->set_salt("another");
  v1::Route route;
  ASSERT_OK(Call(*routes_, &v1::RouteService::Stub::UpdateRoute, update, &route)) << "not begun";
  v1::StartExperimentRequest start;
  start.set_name(made.name());
  start.set_override_reason("a test");
  v1::Experiment now;
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::StartExperiment, start, &now));
  for (const char* field : {"salt", "shadow_salt", "sticky_by"}) {
    v1::UpdateRouteRequest change;
    change.mutable_route()->set_name(made.route());
    change.mutable_route()->set_salt("third");
    change.mutable_route()->set_shadow_salt("third");
    change.mutable_route()->set_sticky_by(v1::Route::REQUEST);
    change.mutable_update_mask()->add_paths(field);
    EXPECT_THAT(Call(*routes_, &v1::RouteService::Stub::UpdateRoute, change, &route),
                HasReasonThat("EXPERIMENT_ACTIVE"))
        << field;
  }
}

TEST_F(ServicesTest, RoutesAreListedByWhatTheFilterSays) {
  v1::CreateRouteRequest request = RouteRequest();
  v1::Route route;
  (*request.mutable_route()->mutable_labels())["team"] = "a";
  ASSERT_OK(Call(*routes_, &v1::RouteService::Stub::CreateRoute, request, &route));
  request = RouteRequest();
  request.set_route_id("other");
  request.mutable_route()->set_task("projects/default/tasks/t");
  ASSERT_OK(Call(*routes_, &v1::RouteService::Stub::CreateRoute, request, &route));
  const auto listed = [&](const std::string& filter) {
    v1::ListRoutesRequest list;
    list.set_parent("projects/default");
    list.set_filter(filter);
    v1::ListRoutesResponse response;
    EXPECT_OK(Call(*routes_, &v1::RouteService::Stub::ListRoutes, list, &response)) << filter;
    std::vector<std::string> names;
    for (const v1::Route& one : response.routes()) names.push_back(LastSegment(one.name()));
    return names;
  };
  EXPECT_THAT(listed(""), ::testing::ElementsAre("other", "sorter"));
  EXPECT_THAT(listed("labels.team = a"), ::testing::ElementsAre("sorter"));
  EXPECT_THAT(listed("task = \"projects/default/tasks/t\""), ::testing::ElementsAre("other"));
  EXPECT_THAT(listed("mode = FINE_TUNE"), ::testing::ElementsAre());
}

TEST_F(ServicesTest, WhatIsNotServedYetSaysWhatToDoInstead) {
  v1::Recording recording;
  EXPECT_THAT(Call(*traffic_, &v1::TrafficService::Stub::GetRecording, {}, &recording),
              HasReasonThat("NOT_IMPLEMENTED"));
  v1::ListAuditEntriesResponse entries;
  const absl::Status status =
      Call(*traffic_, &v1::TrafficService::Stub::ListAuditEntries, {}, &entries);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("ListTransitions")));
  v1::DriftMonitor monitor;
  EXPECT_THAT(Call(*traffic_, &v1::TrafficService::Stub::CreateDriftMonitor, {}, &monitor),
              HasReasonThat("NOT_IMPLEMENTED"));
}

TEST_F(ServicesTest, TheLedgerIsSummedAndPairsAreListed) {
  const v1::Experiment made = MakeExperiment();
  const LedgerKey key = books_.Sampled(made.name(), 0);
  Pair pair{.id = ids_.NextId(), .experiment = made.name()};
  pair.comparisons = {{.comparator = "exact", .equal = true}};
  const std::string id = pair.id;
  books_.Paired(key, 10, std::move(pair));
  ASSERT_OK(store_.Flush(books_.Take()));
  v1::GetLedgerRequest request;
  request.set_name(made.name());
  v1::GetLedgerResponse ledger;
  ASSERT_OK(Call(*traffic_, &v1::TrafficService::Stub::GetLedger, request, &ledger));
  EXPECT_EQ(ledger.total().paired(), 1);
  EXPECT_TRUE(ledger.balanced());
  v1::ListPairsRequest list;
  list.set_parent(made.name());
  list.set_filter("comparisons.equal = true");
  v1::ListPairsResponse pairs;
  ASSERT_OK(Call(*traffic_, &v1::TrafficService::Stub::ListPairs, list, &pairs));
  ASSERT_EQ(pairs.pairs_size(), 1);
  EXPECT_EQ(pairs.pairs(0).name(), made.name() + "/pairs/" + id);
  list.set_filter("comparisons.equal = true AND comparisons.equal = false");
  ASSERT_OK(Call(*traffic_, &v1::TrafficService::Stub::ListPairs, list, &pairs));
  EXPECT_EQ(pairs.pairs_size(), 0) << "AND means both";
  v1::ListLedgerEntriesRequest entries;
  entries.set_parent(made.name());
  v1::ListLedgerEntriesResponse listed;
  ASSERT_OK(Call(*traffic_, &v1::TrafficService::Stub::ListLedgerEntries, entries, &listed));
  EXPECT_EQ(listed.entries_size(), 1);
}

TEST_F(ServicesTest, PairsThatDoNotCountAreToldByWhy) {
  const v1::Experiment made = MakeExperiment();
  const auto add = [&](Validity validity, bool self_compare) {
    Pair pair{.id = ids_.NextId(), .experiment = made.name(), .self_compare = self_compare};
    pair.comparisons = {{.comparator = "exact", .equal = true}};
    pair.validity = validity;
    books_.Paired(books_.Sampled(made.name(), 0), 10, std::move(pair));
  };
  for (int i = 0; i < 3; ++i) add(Validity::kTruncated, i == 0);
  add(Validity::kFallback, false);
  add(Validity::kValid, true);
  ASSERT_OK(store_.Flush(books_.Take()));
  v1::GetExperimentRequest get;
  get.set_name(made.name());
  v1::Experiment now;
  ASSERT_OK(Call(*experiments_, &v1::ExperimentService::Stub::GetExperiment, get, &now));
  EXPECT_EQ(now.valid_pairs(), 0);
  EXPECT_EQ(now.calibration_pairs(), 1);
  EXPECT_EQ(now.uncounted_pairs_size(), 2);
  EXPECT_EQ(now.uncounted_pairs().at("TRUNCATED"), 3);
  EXPECT_EQ(now.uncounted_pairs().at("FALLBACK"), 1);
}

TEST_F(ServicesTest, FeedbackUnderAnIdThatNoPairHasIsKeptWithAWarning) {
  const v1::Experiment made = MakeExperiment();
  Pair pair{.id = ids_.NextId(), .experiment = made.name(), .request_id = "known"};
  books_.Paired(books_.Sampled(made.name(), 0), 10, std::move(pair));
  ASSERT_OK(store_.Flush(books_.Take()));
  std::vector<bool> seen;
  flusher_->SetFeedbackObserver([&](bool has_pair) { seen.push_back(has_pair); });
  v1::BatchCreateFeedbackRequest batch;
  batch.set_parent("projects/default");
  for (const char* id : {"known", "unknown"}) {
    v1::Feedback& feedback = *batch.add_feedback();
    feedback.set_inference_id(id);
    feedback.set_name("label");
    feedback.set_demonstration("x");
  }
  v1::BatchCreateFeedbackResponse stored;
  ASSERT_OK(Call(*traffic_, &v1::TrafficService::Stub::BatchCreateFeedback, batch, &stored));
  EXPECT_EQ(stored.feedback(0).warning(), "");
  EXPECT_THAT(stored.feedback(1).warning(), HasSubstr("no pair is known under 'unknown' yet"));
  EXPECT_THAT(seen, ::testing::ElementsAre(true, false));
  EXPECT_EQ(store_.ListFeedback("unknown", {})->items.size(), 1);
}

TEST_F(ServicesTest, FeedbackIsKeptOnceAndCheckedBeforeAnyOfABatchIsStored) {
  v1::CreateFeedbackRequest request;
  request.set_parent("projects/default");
  request.set_request_id("6ba7b811-9dad-41d1-80b4-00c04fd430c8");
  request.mutable_feedback()->set_inference_id("i");
  request.mutable_feedback()->set_name("rating");
  request.mutable_feedback()->set_float_value(0.5);
  v1::Feedback made;
  for (int i = 0; i < 2; ++i)
    ASSERT_OK(Call(*traffic_, &v1::TrafficService::Stub::CreateFeedback, request, &made));
  request.mutable_feedback()->set_float_value(0.9);
  EXPECT_THAT(Call(*traffic_, &v1::TrafficService::Stub::CreateFeedback, request, &made),
              HasReasonThat("REQUEST_ID_REUSED"));
  request.set_request_id("abc");
  EXPECT_THAT(Call(*traffic_, &v1::TrafficService::Stub::CreateFeedback, request, &made),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be a UUID")));
  v1::BatchCreateFeedbackRequest batch;
  batch.set_parent("projects/default");
  *batch.add_feedback() = request.feedback();
  batch.add_feedback();
  v1::BatchCreateFeedbackResponse stored;
  EXPECT_THAT(Call(*traffic_, &v1::TrafficService::Stub::BatchCreateFeedback, batch, &stored),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("feedback[1]")));
  v1::ListFeedbackRequest list;
  list.set_parent("projects/default");
  list.set_filter("inference_id = i");
  v1::ListFeedbackResponse listed;
  ASSERT_OK(Call(*traffic_, &v1::TrafficService::Stub::ListFeedback, list, &listed));
  EXPECT_EQ(listed.feedback_size(), 1);
}

}  // namespace
}  // namespace crossover::router
