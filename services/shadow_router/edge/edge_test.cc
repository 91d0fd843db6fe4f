// What OpenAI's clients see.
#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/status/error.h"
#include "common/time/fake_clock.h"
#include "services/shadow_router/edge/edge_fixture.h"
#include "services/shadow_router/edge/raw_server.h"
#include "services/shadow_router/edge/recorder.h"

namespace crossover::router {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

// Keys by their header; whether a key is in memory or has to be asked for is up to the test.
class FakeCallers final : public Callers {
 public:
  std::optional<absl::StatusOr<Caller>> Known(std::string_view authorization,
                                              std::string_view peer) override {
    if (!in_memory) return std::nullopt;
    return Find(authorization, peer);
  }
  absl::StatusOr<Caller> Find(std::string_view authorization, std::string_view peer) override {
    EXPECT_EQ(peer.substr(0, 10), "127.0.0.1:");
    if (authorization.empty())
      return Error(absl::StatusCode::kUnauthenticated, "API_KEY_MISSING", "send a key");
    const auto it = keys.find(std::string(authorization));
    if (it != keys.end()) return it->second;
    return Error(absl::StatusCode::kUnauthenticated, "API_KEY_INVALID", "unknown key");
  }
  std::map<std::string, Caller> keys;
  std::atomic<bool> in_memory = true;
};

// Remembers whom it found, which takes until the test says so.
class SlowCallers final : public Callers {
 public:
  std::optional<absl::StatusOr<Caller>> Known(std::string_view, std::string_view) override {
    ++asked;
    if (!found) return std::nullopt;
    return Caller{.name = "test"};
  }
  absl::StatusOr<Caller> Find(std::string_view, std::string_view) override {
    ++look_ups;
    go.WaitForNotification();
    found = true;
    return Caller{.name = "test"};
  }
  std::atomic<int> asked = 0, look_ups = 0;
  std::atomic<bool> found = false;
  absl::Notification go;
};

class EdgeTest : public EdgeFixture {
 protected:
  FakeCallers& DemandKeys() {
    auto callers = std::make_unique<FakeCallers>();
    FakeCallers& fake = *callers;
    LetIn(std::move(callers));
    return fake;
  }
  http::ClientResponse With(const std::string& method, const std::string& path,
                            const std::string& key, const std::string& body = "") {
    http::ClientRequest request{.method = method, .url = Url(path), .body = body};
    if (!key.empty()) request.headers.Set("Authorization", key);
    auto response = client_.Send(request);
    EXPECT_OK(response);
    return response.ok() ? *response : http::ClientResponse{};
  }
  // Data of the events that a client sees; anything that is not one fails the test.
  static std::vector<std::string> EventsOf(const std::string& body) {
    std::vector<std::string> events;
    SseParser parser;
    parser.Feed(body, [&](std::string_view data, std::string_view) { events.emplace_back(data); });
    EXPECT_EQ(parser.rest(), "") << "an event was cut";
    for (const std::string& event : events) {
      EXPECT_TRUE(event == "[DONE]" || Json::accept(event)) << event;
    }
    return events;
  }
  // A model that says exactly this.
  void SayRaw(const std::string& bytes) {
    raw_ = std::make_unique<RawServer>(Saying(bytes));
    AddUpstream("old", raw_->base_url(), absl::Seconds(20));
    ASSERT_OK(control_.Reload(true));
  }
  static std::string Event(const std::string& content) {
    return R"(data: {"id":"c","choices":[{"index":0,"delta":{"content":")" + content + "\"}}]}\n\n";
  }
  bool Exposes(const std::string& line) {
    return Eventually([&] { return registry_.Expose().find(line) != std::string::npos; });
  }

  std::unique_ptr<RawServer> raw_;
};

constexpr char kChat[] = R"({"model":"sorter","messages":[{"role":"user","content":"q"}]})";

TEST_F(EdgeTest, EveryDoorDemandsAKeyOnceThereAreKeys) {
  FakeCallers& callers = DemandKeys();
  callers.keys["Bearer good"] = {.name = "apiKeys/1", .project = "projects/default"};
  callers.keys["Bearer viewer"] = {
      .name = "apiKeys/2", .project = "projects/default", .may_call = false};
  Start();
  const std::string feedback = R"({"inference_id":"i","name":"label","value":"x"})";
  for (const bool in_memory : {true, false}) {
    callers.in_memory = in_memory;
    for (const auto& [method, path, body] :
         {std::tuple("POST", "/v1/chat/completions", std::string(kChat)),
          std::tuple("GET", "/v1/chat/completions", std::string()),
          std::tuple("GET", "/v1/models", std::string()),
          std::tuple("GET", "/v1/models/sorter", std::string()),
          std::tuple("POST", "/v1/feedback", feedback)}) {
      for (const auto& [key, code] :
           {std::pair("", "api_key_missing"), std::pair("Bearer bad", "api_key_invalid")}) {
        const auto refused = With(method, path, key, body);
        EXPECT_EQ(refused.status, 401) << method << path;
        const Json error = ErrorOf(refused);
        for (const char* name : {"message", "type", "param", "code"})
          EXPECT_TRUE(error.contains(name)) << name;
        EXPECT_EQ(error["code"], code);
      }
      EXPECT_EQ(With(method, path, "Bearer good", body).status, 200) << method << path;
      const int status = With(method, path, "Bearer viewer", body).status;
      EXPECT_EQ(status, std::string(method) == "GET" ? 200 : 403) << path;
    }
  }
  EXPECT_EQ(old_.Requests().size(), 2);
  EXPECT_EQ(old_.Requests().at(0).headers.Get("authorization"), "Bearer sk-old");
}

TEST_F(EdgeTest, RequestsThatWaitForTheSameKeyAreServedByOneLookUp) {
  auto owned = std::make_unique<SlowCallers>();
  SlowCallers& callers = *owned;
  LetIn(std::move(owned));
  Start();
  constexpr int kRequests = 6;
  std::vector<std::thread> clients;
  for (int i = 0; i < kRequests; ++i) {
    clients.emplace_back(
        [&] { EXPECT_EQ(With("POST", "/v1/chat/completions", "Bearer k", kChat).status, 200); });
  }
  EXPECT_TRUE(Eventually([&] { return callers.asked >= kRequests; }));
  callers.go.Notify();
  for (std::thread& client : clients) client.join();
  EXPECT_LE(callers.look_ups, 2);  // One a thread.
}

TEST_F(EdgeTest, AKeySeesItsProjectAndItsRoutesOnly) {
  FakeCallers& callers = DemandKeys();
  callers.keys["Bearer other"] = {.name = "apiKeys/1", .project = "projects/other"};
  callers.keys["Bearer some"] = {
      .name = "apiKeys/2", .project = "projects/default", .routes = {"second"}};
  Route route = *store_.GetRoute(kRoute);
  route.name = "projects/default/routes/second";
  ASSERT_OK(store_.CreateRoute(route, "", clock_.Now()));
  route.name = "projects/other/routes/sorter";  // The same slug in another project.
  route.primary = "new";
  ASSERT_OK(store_.CreateRoute(route, "", clock_.Now()));
  ASSERT_OK(control_.Reload(true));
  Start();
  EXPECT_EQ(ContentOf(With("POST", "/v1/chat/completions", "Bearer other", kChat)), "from new");
  const std::string whole =
      R"({"model":"projects/default/routes/sorter","messages":[{"role":"user","content":"q"}]})";
  EXPECT_EQ(With("POST", "/v1/chat/completions", "Bearer other", whole).status, 404);
  const auto refused = With("POST", "/v1/chat/completions", "Bearer some", kChat);
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(ErrorOf(refused)["code"], "resource_forbidden");
  EXPECT_EQ(With("GET", "/v1/models/sorter", "Bearer some").status, 404);
  const Json models = Json::parse(With("GET", "/v1/models", "Bearer some").body);
  ASSERT_EQ(models["data"].size(), 1);
  EXPECT_EQ(models["data"][0]["id"], "second");
  EXPECT_EQ(With("POST", "/v1/feedback", "Bearer other",
                 R"({"inference_id":"i","name":"label","value":"x"})")
                .status,
            200);
  EXPECT_EQ(store_.ListFeedback("i", {})->items.at(0).project, "projects/other");
}

TEST_F(EdgeTest, AKeysLimitsAreEnforcedAndSayWhenToComeBack) {
  FakeCallers& callers = DemandKeys();
  const auto key = [&](const char* name, CallerLimits limits) {
    callers.keys[std::string("Bearer ") + name] = {
        .name = name, .project = "projects/default", .limits = limits};
  };
  key("requests", {.requests_per_minute = 2});
  key("tokens", {.tokens_per_minute = 300});
  key("money", {.spend_per_day_usd = 0.0003});
  Start();
  const auto chat = [&](const std::string& name) {
    return With("POST", "/v1/chat/completions", "Bearer " + name, kChat);
  };
  for (const char* name : {"requests", "tokens", "money"}) {
    EXPECT_EQ(chat(name).status, 200) << name;
    http::ClientResponse last;
    // An answer is settled a moment after the client has it.
    EXPECT_TRUE(Eventually([&] { return (last = chat(name)).status == 429; })) << name;
    EXPECT_GE(std::atoi(std::string(last.headers.Get("retry-after").value_or("0")).c_str()), 1);
    EXPECT_EQ(ErrorOf(last)["type"], "rate_limit_error");
    EXPECT_EQ(ErrorOf(last)["code"],
              std::string(name) == "money" ? "budget_exceeded" : "rate_limited");
  }
}

TEST_F(EdgeTest, AnswersFromThePrimaryWithItsBytesAndOurKey) {
  Start();
  const auto response =
      Chat(R"(,"x_unknown":{"a":1})",
           {{"x-request-id", "mine-1"},
            {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(ContentOf(response), "from old");
  EXPECT_EQ(response.headers.Get("x-request-id"), "mine-1");
  EXPECT_EQ(response.headers.Get("x-crossover-inference-id")->size(), 26);
  const http::Request sent = old_.Requests().at(0);
  EXPECT_EQ(sent.headers.Get("authorization"), "Bearer sk-old");
  EXPECT_THAT(std::string(*sent.headers.Get("traceparent")),
              HasSubstr("00-0af7651916cd43dd8448eb211c80319c-"));
  EXPECT_THAT(std::string(*sent.headers.Get("traceparent")), Not(HasSubstr("b7ad6b7169203331")));
  EXPECT_EQ(Json::parse(sent.body)["model"], "m-old");
  EXPECT_EQ(Json::parse(sent.body)["x_unknown"]["a"], 1);
  EXPECT_TRUE(new_.Requests().empty());
  EXPECT_TRUE(Eventually([this] {
    return registry_.Expose().find(
               R"(crossover_router_requests_total{code="200",route="sorter",variant="old"} 1)") !=
           std::string::npos;
  }));
}

TEST_F(EdgeTest, OnlyOurModelServerIsToldWhoAsks) {
  Route route = *store_.GetRoute(kRoute);
  route.variants["ours"] = {.model = {.kind = ModelRef::Kind::kBaseModel, .model = "smollm2"}};
  route.primary = "ours";
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  ASSERT_OK(control_.Reload(true));
  LetIn(std::make_unique<EveryoneIs>(Caller{.name = "apiKeys/k", .project = "projects/default"}));
  Start();
  Chat();
  EXPECT_EQ(new_.Requests().at(0).headers.Get("x-crossover-caller"), "projects/default/apiKeys/k");
  route = *store_.GetRoute(kRoute);
  route.primary = "old";
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  ASSERT_OK(control_.Reload(true));
  Chat();
  EXPECT_FALSE(old_.Requests().at(0).headers.Get("x-crossover-caller").has_value());
}

TEST_F(EdgeTest, StreamsWithoutTheUsageThatTheClientDidNotAskFor) {
  Start();
  const auto plain = Chat(R"(,"stream":true)");
  EXPECT_EQ(plain.status, 200);
  EXPECT_THAT(std::string(*plain.headers.Get("content-type")), HasSubstr("text/event-stream"));
  EXPECT_THAT(plain.body, HasSubstr("data: [DONE]\n\n"));
  EXPECT_THAT(plain.body, Not(HasSubstr("prompt_tokens")));
  EXPECT_EQ(Json::parse(old_.Requests().at(0).body)["stream_options"]["include_usage"], true);
  const auto asked = Chat(R"(,"stream":true,"stream_options":{"include_usage":true})");
  EXPECT_THAT(asked.body, HasSubstr("prompt_tokens"));
}

TEST_F(EdgeTest, SaysWhatIsWrongInOpenAisErrorBody) {
  Start({}, {.max_body_bytes = 4'000});
  const auto check = [&](const http::ClientResponse& response, int status, const char* words) {
    EXPECT_EQ(response.status, status) << response.body;
    const Json error = ErrorOf(response);
    for (const char* key : {"message", "type", "param", "code"})
      EXPECT_TRUE(error.contains(key)) << key;
    EXPECT_THAT(error.value("message", ""), HasSubstr(words));
  };
  check(Post("/v1/chat/completions", "not json"), 400, "not valid JSON");
  check(Post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"q"}]})"), 400,
        "'model'");
  check(Post("/v1/chat/completions",
             "{\"model\":\"sorter\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}"),
        400, "UTF-8");
  check(Post("/v1/chat/completions",
             R"({"model":"nope","messages":[{"role":"user","content":"q"}]})"),
        404, "there are: sorter");
  check(Chat(",\"x\":\"" + std::string(10'000, 'x') + "\""), 413, "");
  check(Get("/v1/nothing"), 404, "");
  check(Get("/v1/models/nope"), 404, "sorter");
  EXPECT_TRUE(old_.Requests().empty());
}

TEST_F(EdgeTest, AnUpstreamThatIsDownIsA503ThatNamesIt) {
  Start();
  old_.Stop();
  const auto response = Chat();
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(ErrorOf(response).value("message", ""), HasSubstr("upstream 'old'"));
}

TEST_F(EdgeTest, AnUpstreamThatHangsIsA504) {
  AddUpstream("old", old_.base_url(), absl::Milliseconds(200));
  ASSERT_OK(control_.Reload(true));
  old_.SetReply({.stall = true});
  Start();
  EXPECT_EQ(Chat().status, 504);
}

TEST_F(EdgeTest, AnUpstreamsOwnErrorPassesThrough) {
  Start();
  old_.SetReply({.status = 429,
                 .content = "slow down",
                 .headers = {{"retry-after", "7"}, {"x-ratelimit-remaining-requests", "0"}}});
  const auto response = Chat();
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.Get("retry-after"), "7");
  EXPECT_EQ(response.headers.Get("x-ratelimit-remaining-requests"), "0");
  EXPECT_EQ(ErrorOf(response).value("message", ""), "slow down");
}

TEST_F(EdgeTest, FallsBackBeforeTheFirstByte) {
  Route route = *store_.GetRoute(kRoute);
  route.fallbacks = {"new"};
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  ASSERT_OK(control_.Reload(true));
  Start();
  old_.SetReply({.status = 500, .content = "broken"});
  EXPECT_EQ(ContentOf(Chat()), "from new");
  old_.Stop();
  EXPECT_EQ(ContentOf(Chat()), "from new");
  EXPECT_THAT(Chat(R"(,"stream":true)").body, HasSubstr("[DONE]"));
}

TEST_F(EdgeTest, AStreamThatBreaksOffEndsWithAnErrorEvent) {
  Start();
  old_.SetReply({.content = "one two three four five six", .cut_after_pieces = 1});
  const auto response = Chat(R"(,"stream":true)");
  EXPECT_EQ(response.status, 200);
  const auto events = EventsOf(response.body);
  ASSERT_GE(events.size(), 2);
  EXPECT_EQ(Json::parse(events.back())["error"]["code"], "upstream_stream_broken");
}

TEST_F(EdgeTest, HalfAnEventIsNeverPassedOn) {
  raw_ = std::make_unique<RawServer>([](int fd) {
    Saying("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n" +
           Event("one") + R"(data: {"id":"c","choi)")(fd);
    shutdown(fd, SHUT_RDWR);
  });
  AddUpstream("old", raw_->base_url());
  ASSERT_OK(control_.Reload(true));
  Start();
  for (const char* usage : {"", R"(,"stream_options":{"include_usage":true})"}) {
    const auto events = EventsOf(Chat(std::string(R"(,"stream":true)") + usage).body);
    ASSERT_EQ(events.size(), 2) << usage;
    EXPECT_THAT(events[0], HasSubstr("one"));
    EXPECT_EQ(Json::parse(events[1])["error"]["code"], "upstream_stream_broken");
  }
}

TEST_F(EdgeTest, AClientThatLeavesAfterTheLastEventHasNotCancelled) {
  // The model leaves the connection open after its last word.
  SayRaw(kStreamHead + Event("one") +
         "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
         "data: [DONE]\n\n");
  StartExperiment(ExperimentState::kShadow);
  Start();
  EXPECT_FALSE(client_
                   .Send({.method = "POST",
                          .url = Url("/v1/chat/completions"),
                          .body = R"({"model":"sorter","stream":true,"messages":[)"
                                  R"({"role":"user","content":"q"}]})",
                          .timeout = absl::Milliseconds(500)})
                   .ok());
  EXPECT_TRUE(
      Exposes(R"(crossover_router_requests_total{code="200",route="sorter",variant="old"} 1)"));
  Settle();
  EXPECT_EQ(books_.Held(kExperiment, 1).paired, 1);
}

TEST_F(EdgeTest, AClientThatLeavesAfterTheFirstTokenCancelsTheUpstream) {
  SayRaw(kStreamHead + Event("one"));
  Start();
  EXPECT_FALSE(client_
                   .Send({.method = "POST",
                          .url = Url("/v1/chat/completions"),
                          .body = R"({"model":"sorter","stream":true,"messages":[)"
                                  R"({"role":"user","content":"q"}]})",
                          .timeout = absl::Milliseconds(300)})
                   .ok());
  EXPECT_TRUE(raw_->WaitForHangUp());
  EXPECT_TRUE(
      Exposes(R"(crossover_router_requests_total{code="499",route="sorter",variant="old"} 1)"));
}

TEST_F(EdgeTest, WhoHangsUpBeforeTheUsageIsKnownPaysWhatWasReserved) {
  SayRaw(kStreamHead + Event("one"));
  FakeCallers& callers = DemandKeys();
  const Caller caller{
      .name = "k", .project = "projects/default", .limits = {.tokens_per_minute = 300}};
  callers.keys["Bearer k"] = caller;
  StartExperiment(ExperimentState::kShadow);
  Start();
  http::ClientRequest request{.method = "POST",
                              .url = Url("/v1/chat/completions"),
                              .body = R"({"model":"sorter","stream":true,"messages":[)"
                                      R"({"role":"user","content":"q"}]})",
                              .timeout = absl::Milliseconds(300)};
  request.headers.Set("Authorization", "Bearer k");
  EXPECT_FALSE(client_.Send(request).ok());
  // The books come after the bill.
  EXPECT_TRUE(Eventually([&] { return books_.Held(kExperiment, 1).dropped.size() == 1; }));
  EXPECT_THAT(meter_.Reserve(caller, {.tokens = 200}), HasReasonThat("RATE_LIMITED"));
}

TEST_F(EdgeTest, AStreamsUsageIsPaidForThoughNobodyComparesIt) {
  SayRaw(kStreamHead + Event("one") +
         "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000000,"
         "\"completion_tokens\":500000,\"prompt_tokens_details\":{\"cached_tokens\":400000}}}\n\n"
         "data: [DONE]\n\n");
  catalog_.Put("projects/default/upstreams/old", UpstreamInfo{.name = "old",
                                                              .base_url = raw_->base_url(),
                                                              .prices = {10, 1, 2},
                                                              .timeout = absl::Seconds(1)});
  ASSERT_OK(control_.Reload(true));
  Start();
  (void)client_.Send({.method = "POST",
                      .url = Url("/v1/chat/completions"),
                      .body = R"({"model":"sorter","stream":true,"stream_options":)"
                              R"({"include_usage":true},"messages":[)"
                              R"({"role":"user","content":"q"}]})",
                      .timeout = absl::Milliseconds(300)});
  // 0.6 M fresh at 10, 0.4 M cached at 1, 0.5 M out at 2.
  EXPECT_TRUE(Exposes(R"(crossover_router_cost_usd_total{route="sorter",variant="old"} 7.4)"));
}

TEST_F(EdgeTest, ATrialThatBeginsToAnswerOpensTheBreakerForOthers) {
  FakeClock clock;
  CircuitBreaker breaker({.failures_to_open = 2, .open_for = absl::Seconds(10)}, clock);
  breaker.Failure();
  breaker.Failure();
  EXPECT_FALSE(breaker.Allow());
  clock.Advance(absl::Seconds(11));
  EXPECT_TRUE(breaker.Allow());
  EXPECT_FALSE(breaker.Allow()) << "one trial";
  breaker.Answering();
  EXPECT_TRUE(breaker.Allow());
  breaker.Failure();
  EXPECT_FALSE(breaker.Allow()) << "it broke off after all";
}

TEST_F(EdgeTest, WhatCannotBeRedactedIsNotKept) {
  ResolvedRoute route;
  route.task.record = RecordPolicy::kRedacted;
  const auto record = [&](const std::string& content) {
    const ChatRequest request = *ParseChatRequest(
        R"({"model":"r","messages":[{"role":"user","content":"I am ann@example.org"}],)"
        R"("metadata":{"mail":"ann@example.org"}})");
    Answer answer{.content = content};
    answer.tool_calls = R"([{"name":"send","arguments":{"to":"bob@example.org"}}])";
    return *MakeRecording(route, "v", request, answer, "id", clock_.Now(), **redactor_);
  };
  const Recording clean = record("fine");
  EXPECT_THAT(clean.request, HasSubstr("[EMAIL]"));
  EXPECT_THAT(clean.tool_calls, HasSubstr("[EMAIL]"));
  EXPECT_EQ(clean.metadata.at("mail"), "[EMAIL]");
  EXPECT_EQ(clean.redactions, 3);
  const Recording failed = record("\xff");  // The expressions need UTF-8.
  EXPECT_EQ(failed.request, "");
  EXPECT_EQ(failed.response, "");
  EXPECT_EQ(failed.tool_calls, "");
  EXPECT_TRUE(failed.metadata.empty());
  route.task.record = RecordPolicy::kMetadata;
  EXPECT_TRUE(record("fine").metadata.empty());
}

TEST_F(EdgeTest, AClientThatGoesAwayCancelsTheUpstreamBeforeTheFirstTokenToo) {
  Start();
  old_.SetReply({.stall = true});
  const absl::Status status =
      client_
          .Send({.method = "POST",
                 .url = Url("/v1/chat/completions"),
                 .body = R"({"model":"sorter","messages":[{"role":"user","content":"q"}]})",
                 .timeout = absl::Milliseconds(300)})
          .status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(old_.WaitForDisconnects(1));
}

TEST_F(EdgeTest, ListsRoutesAsModels) {
  Start();
  const Json models = Json::parse(Get("/v1/models").body);
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"][0]["id"], "sorter");
  EXPECT_EQ(Json::parse(Get("/v1/models/sorter").body)["object"], "model");
}

TEST_F(EdgeTest, TakesFeedbackAndSaysWhatIsWrongWithIt) {
  Start();
  const auto taken =
      Post("/v1/feedback", R"({"inference_id":"abc","name":"label","value":{"a":1}})");
  EXPECT_EQ(taken.status, 200);
  EXPECT_THAT(Json::parse(taken.body)["warning"].get<std::string>(),
              HasSubstr("no pair is known under 'abc' yet"));
  const auto listed = *store_.ListFeedback("abc", {});
  ASSERT_EQ(listed.items.size(), 1);
  EXPECT_EQ(Json::parse(listed.items[0].value).get<std::string>(), R"({"a":1})");
  for (const char* bad :
       {"x", "{}", R"({"inference_id":"a","name":"b"})", R"({"inference_id":"a","value":1})",
        R"({"inference_id":"a","name":"rating","value":{"x":1}})"}) {
    const auto response = Post("/v1/feedback", bad);
    EXPECT_EQ(response.status, 400) << bad;
    EXPECT_EQ(ErrorOf(response)["code"], "feedback_invalid");
  }
  store_.Fail(absl::UnavailableError("down"));
  EXPECT_EQ(Post("/v1/feedback", R"({"inference_id":"abc","name":"label","value":"x"})").status,
            200)
      << "the journal has it";
  EXPECT_GT(journal_->bytes(), 0);
}

TEST_F(EdgeTest, StoresWhatTheClientAskedForAndThePolicyAllows) {
  catalog_.Put("projects/default/tasks/t", TaskInfo{.record = RecordPolicy::kRedacted});
  Route route = *store_.GetRoute(kRoute);
  route.task = "projects/default/tasks/t";
  ASSERT_OK(store_.UpdateRoute(route, clock_.Now()));
  ASSERT_OK(control_.Reload(true));
  Start();
  old_.SetReply({.content = "mail bob@example.org"});
  Chat(R"(,"store":true,"metadata":{"k":"v","crossover_label":"x"})");
  Chat();
  EXPECT_TRUE(Eventually([this] {
    return flusher_->FlushOnce().ok() && !store_.ListRecordings("", {})->items.empty();
  }));
  const Json stored = Json::parse(Get("/v1/chat/completions?model=sorter").body);
  ASSERT_EQ(stored["data"].size(), 1);
  EXPECT_EQ(stored["data"][0]["choices"][0]["message"]["content"], "mail [EMAIL]");
  EXPECT_EQ(stored["data"][0]["metadata"], Json({{"k", "v"}}));
}

TEST_F(EdgeTest, ACanaryUserStaysInTheCanaryAndItsTroubleIsServedByThePrimary) {
  StartExperiment(ExperimentState::kCanary, 0.5);
  Start();
  int canary = 0;
  for (int user = 0; user < 40; ++user) {
    const std::string extra = ",\"user\":\"u" + std::to_string(user) + "\"";
    const std::string first = ContentOf(Chat(extra));
    EXPECT_EQ(ContentOf(Chat(extra)), first);
    canary += first == "from new";
  }
  EXPECT_GT(canary, 8);
  EXPECT_LT(canary, 32);
  new_.SetReply({.status = 500, .content = "broken"});
  for (int user = 0; user < 40; ++user)
    EXPECT_EQ(ContentOf(Chat(",\"user\":\"u" + std::to_string(user) + "\"")), "from old");
  Settle();
  ASSERT_OK(flusher_->FlushOnce());
  const ArmCounts arms = store_.SumArms(kExperiment, 1)->at(5'000);
  EXPECT_EQ(arms.reference_requests + arms.candidate_requests, 120);
  EXPECT_EQ(arms.candidate_events.at("error_rate"), canary);
  EXPECT_TRUE(arms.reference_events.empty());
}

TEST_F(EdgeTest, AShadowedRequestBecomesAPairWithTheLabelThatCameAlong) {
  StartExperiment(ExperimentState::kShadow);
  Start();
  const auto response = Chat(R"(,"stream":true,"metadata":{"crossover_label":"from new"})");
  EXPECT_THAT(response.body, Not(HasSubstr("from new")));
  Settle();
  ASSERT_OK(flusher_->FlushOnce());
  const auto pairs = *store_.ListPairs({.experiment = kExperiment}, {});
  ASSERT_EQ(pairs.items.size(), 1);
  EXPECT_EQ(pairs.items[0].id, response.headers.Get("x-crossover-inference-id"));
  EXPECT_EQ(pairs.items[0].grades.at(0).primary_loss, 1);
  EXPECT_EQ(pairs.items[0].grades.at(0).candidate_loss, 0);
  const http::Request mirrored = new_.Requests().at(0);
  EXPECT_EQ(mirrored.headers.Get("authorization"), "Bearer sk-new");
  EXPECT_EQ(Json::parse(mirrored.body)["store"], false);
  EXPECT_FALSE(Json::parse(mirrored.body).contains("metadata"));
  EXPECT_THAT(std::string(old_.Requests().at(0).body), Not(HasSubstr("crossover_label")));
}

}  // namespace
}  // namespace crossover::router
