// What OpenAI's clients see.
#include <gmock/gmock.h>

#include "services/shadow_router/edge/edge_fixture.h"

namespace crossover::router {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

class EdgeTest : public EdgeFixture {};

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
  EXPECT_THAT(response.body, HasSubstr("upstream_stream_broken"));
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
  EXPECT_EQ(Post("/v1/feedback", R"({"inference_id":"abc","name":"label","value":{"a":1}})").status,
            200);
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
