// The whole module over real HTTP, and where both doors do the same, with a fake engine.
#include "services/model_server/module_fixture.h"

#include <map>
#include <string>
#include <thread>
#include <vector>

namespace crossover::inference {
namespace {

using ::testing::HasSubstr;

TEST_F(ModuleTest, AChatCompletionIsAnswered) {
  Start();
  const http::ClientResponse response = Post(Chat(), {{"x-request-id", "r1"}});
  ASSERT_EQ(response.status, 200) << response.body;
  const json body = json::parse(response.body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "hello");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["model"], "small");
  EXPECT_EQ(body["system_fingerprint"], base_);
  EXPECT_EQ(body["usage"]["completion_tokens"], 5);
  EXPECT_EQ(response.headers.Get("x-request-id"), "r1");
  EXPECT_THAT(registry_.Expose(),
              HasSubstr("crossover_inference_requests_total{outcome=\"ok\"} 1"));
  EXPECT_THAT(registry_.Expose(), HasSubstr("crossover_inference_tokens_total{kind=\"output\"} 5"));
}

TEST_F(ModuleTest, AStreamHasRoleTextReasonUsageAndDone) {
  Start();
  json body = Chat();
  body["stream_options"] = {{"include_usage", true}};
  body["n"] = 2;
  const std::vector<std::string> data = Stream(body);
  ASSERT_GT(data.size(), 4u);
  EXPECT_EQ(data.back(), "[DONE]");
  std::map<int, std::string> texts;
  std::map<int, std::string> reasons;
  for (size_t i = 0; i + 2 < data.size(); ++i) {
    const json chunk = json::parse(data[i]);
    EXPECT_TRUE(chunk.at("usage").is_null());
    const json& choice = chunk["choices"][0];
    texts[choice["index"]] += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) reasons[choice["index"]] = choice["finish_reason"];
  }
  EXPECT_EQ(texts[0], "hello");
  EXPECT_EQ(texts[1], "hello");
  EXPECT_EQ(reasons[1], "stop");
  const json usage = json::parse(data[data.size() - 2]);
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 10);
}

TEST_F(ModuleTest, ToolCallsAreTakenOutOfTheAnswerWhenToolsWereGiven) {
  Start();
  fake().SetAnswer([](const llm::GenerateRequest&) {
    return "Wait.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  });
  json body = Chat();
  EXPECT_THAT(json::parse(Post(body).body)["choices"][0]["message"]["content"].get<std::string>(),
              HasSubstr("<tool_call>"));
  body["tools"] = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  const json choice = json::parse(Post(body).body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "Wait.");
  const json& call = choice.at("message").at("tool_calls").at(0);
  EXPECT_EQ(call["type"], "function");
  EXPECT_THAT(call["id"].get<std::string>(), HasSubstr("call_"));
  EXPECT_EQ(call["function"], json({{"name", "f"}, {"arguments", "{\"a\":1}"}}));

  const std::vector<std::string> data = Stream(body);
  std::string text;
  json last;
  for (size_t i = 0; i + 1 < data.size(); ++i) {
    last = json::parse(data[i])["choices"][0];
    text += last["delta"].value("content", "");
  }
  EXPECT_EQ(text, "Wait.");
  EXPECT_EQ(last["finish_reason"], "tool_calls");
  EXPECT_EQ(last.at("delta").at("tool_calls").at(0)["index"], 0);
  EXPECT_EQ(last.at("delta").at("tool_calls").at(0)["function"]["name"], "f");

  pb::GenerateBatchRequest batch;
  *batch.add_requests() = Generate();
  batch.mutable_requests(0)->mutable_chat()->add_tools()->set_name("f");
  const auto answers = rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, batch);
  ASSERT_OK(answers);
  EXPECT_EQ(answers->results(0).answers(0).text(), "Wait.");
  EXPECT_EQ(answers->results(0).answers(0).tool_calls(0).name(), "f");
  EXPECT_EQ(answers->results(0).answers(0).finish_reason(), "tool_calls");
}

TEST_F(ModuleTest, AClientThatGoesAwayFreesItsSlot) {
  Start();
  fake().Hold();
  json body = Chat();
  body["stream"] = true;
  const absl::Status status = client_.Stream(
      {.method = "POST", .url = Url("/v1/chat/completions"), .body = body.dump()},
      [](const http::ClientResponse&) { return true; }, [](std::string_view) { return false; });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(fake().WaitForCancelled(1));
}

TEST_F(ModuleTest, AClientThatGoesAwayBeforeTheFirstByteFreesItsSlotToo) {
  Start();
  fake().Hold();
  const auto response = client_.Send({.method = "POST",
                                      .url = Url("/v1/chat/completions"),
                                      .body = Chat().dump(),
                                      .timeout = absl::Milliseconds(300)});
  EXPECT_THAT(response.status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(fake().WaitForCancelled(1));
}

TEST_F(ModuleTest, ErrorsHaveStatusCodeAndField) {
  Start();
  const http::ClientResponse missing = Post(Chat("nobody"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(json::parse(missing.body)["error"]["code"], "model_not_found");
  json hot = Chat();
  hot["temperature"] = 9;
  const http::ClientResponse invalid = Post(hot);
  EXPECT_EQ(invalid.status, 400);
  EXPECT_EQ(json::parse(invalid.body)["error"]["param"], "temperature");
  json schema = Chat();
  schema["response_format"] = {{"type", "json_schema"}, {"json_schema", json::object()}};
  EXPECT_EQ(Post(schema).status, 400);
  EXPECT_EQ(json::parse(Post(schema).body)["error"]["param"], "response_format.json_schema.schema");
  schema["response_format"]["json_schema"]["schema"] = {{"properties", {{"a", {{"not", true}}}}}};
  const json unserved = json::parse(Post(schema).body);
  EXPECT_EQ(unserved["error"]["code"], "constraint_invalid");
  EXPECT_THAT(unserved["error"]["message"].get<std::string>(), HasSubstr("#/properties/a"));
  json wide = Chat();
  wide["max_tokens"] = 1024;
  const http::ClientResponse too_wide = Post(wide);
  EXPECT_EQ(too_wide.status, 400);
  EXPECT_EQ(json::parse(too_wide.body)["error"]["code"], "context_length_exceeded");
  fake().SetCapacity(0);
  const http::ClientResponse full = Post(Chat());
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.headers.Get("retry-after"), "1");
}

TEST_F(ModuleTest, AKeyIsAskedForWhenOneIsSet) {
  Start({.http_api_key = "secret"});
  EXPECT_EQ(Post(Chat()).status, 401);
  EXPECT_EQ(Post(Chat(), {{"authorization", "Bearer wrong"}}).status, 401);
  EXPECT_EQ(Post(Chat(), {{"authorization", "Bearer secret"}}).status, 200);
}

TEST_F(ModuleTest, AnAdapterAnswersUnderItsDigestWithoutRestart) {
  Start();
  const std::string adapter = Adapter("one", base_);
  fake().SetAnswer([](const llm::GenerateRequest& request) {
    return request.adapter.empty() ? "base" : "adapter";
  });
  const json body = json::parse(Post(Chat(adapter)).body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "adapter");
  EXPECT_EQ(body["system_fingerprint"], adapter);
  EXPECT_EQ(json::parse(Post(Chat()).body)["choices"][0]["message"]["content"], "base");
  const auto models = client_.Send({.url = Url("/v1/models")});
  ASSERT_OK(models);
  EXPECT_THAT(models->body, HasSubstr("\"id\":\"small\""));
  EXPECT_THAT(models->body, HasSubstr(adapter));
}

TEST_F(ModuleTest, HealthReadinessAndMetricsAreServed) {
  Start();
  EXPECT_EQ(client_.Send({.url = Url("/healthz")})->status, 200);
  for (int i = 0; i < 200 && client_.Send({.url = Url("/readyz")})->status != 200; ++i)
    std::this_thread::yield();
  EXPECT_EQ(client_.Send({.url = Url("/readyz")})->status, 200);
  EXPECT_OK(module_->Ready());
  ASSERT_EQ(Post(Chat()).status, 200);
  const std::string metrics = client_.Send({.url = Url("/metrics")})->body;
  for (const char* line :
       {"crossover_inference_requests_total{outcome=\"ok\"} 1\n",
        "crossover_inference_ttft_seconds_count 1\n",
        "crossover_inference_tokens_total{kind=\"input\"} ",
        "crossover_inference_tokens_total{kind=\"output\"} 5\n", "crossover_inference_batch_rows ",
        "crossover_inference_kv_bytes{state=\"running\"} ",
        "crossover_inference_kv_bytes{state=\"cached\"} ",
        "crossover_inference_prefix_hit_tokens_total 0\n",
        "crossover_inference_adapters{state=\"loading\"} 0\n",
        "crossover_inference_adapters{state=\"ready\"} 0\n",
        "crossover_inference_adapters{state=\"unloading\"} 0\n", "crossover_build_info{"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
  module_->Drain();
  EXPECT_THAT(module_->Ready(), HasReasonThat("SERVER_DRAINING"));
}

TEST_F(ModuleTest, ConstraintsReachTheEngineThroughBothDoors) {
  Start();
  const auto last_allows = [&](const std::string& text) {
    const auto constraint = fake().Requests().back().constraint;
    if (constraint == nullptr) return false;
    llm::ConstraintState state(constraint);
    for (const char c : text) {
      if (!state.Accept(static_cast<uint8_t>(c))) return false;
    }
    return state.may_end();
  };
  json body = Chat();
  EXPECT_EQ(Post(body).status, 200);
  EXPECT_EQ(fake().Requests().back().constraint, nullptr);
  body["response_format"] = {{"type", "json_object"}};
  EXPECT_EQ(Post(body).status, 200);
  EXPECT_TRUE(last_allows(R"({"a": 1})"));
  body.erase("response_format");
  body["tools"] = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  body["tool_choice"] = "required";
  fake().SetAnswer([](const llm::GenerateRequest&) {
    return "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
  });
  EXPECT_EQ(json::parse(Post(body).body)["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_TRUE(last_allows("<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"));
  EXPECT_FALSE(last_allows("hello"));

  pb::GenerateBatchRequest request;
  *request.add_requests() = Generate();
  pb::GenerateRequest& one = *request.mutable_requests(0);
  one.mutable_sampling()->set_repetition_penalty(1.5);
  one.set_json_schema(R"({"const": "x"})");
  EXPECT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, request));
  EXPECT_TRUE(last_allows("\"x\""));
  EXPECT_EQ(fake().Requests().back().sampling.repetition_penalty, 1.5);
  one.set_regex("[0-9]+");
  EXPECT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, request));
  EXPECT_TRUE(last_allows("42"));
  one.mutable_choice()->add_texts("yes");
  EXPECT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, request));
  EXPECT_TRUE(last_allows("yes"));
  one.clear_constraint();
  one.mutable_sampling()->mutable_response_format()->set_type(
      type::v1::ResponseFormat::JSON_OBJECT);
  EXPECT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, request));
  EXPECT_TRUE(last_allows("{}"));
}

TEST_F(ModuleTest, WhatIsNotServedIsRefusedByName) {
  Start();
  pb::GenerateBatchRequest request;
  *request.add_requests() = Generate();
  request.mutable_requests(0)->set_json_schema(R"({"multipleOf": 3})");
  EXPECT_THAT(rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, request).status(),
              HasReasonThat("CONSTRAINT_INVALID"));
}

TEST_F(ModuleTest, StoppingWithAnAnswerUnderWayEnds) {
  Start();
  fake().Hold();
  std::thread client([&] {
    json body = Chat();
    body["stream"] = true;
    (void)client_.Stream(
        {.method = "POST", .url = Url("/v1/chat/completions"), .body = body.dump()},
        [](const http::ClientResponse&) { return true; }, [](std::string_view) { return true; });
  });
  ASSERT_TRUE(fake().WaitForRequests(1));
  server_->Stop();
  client.join();
  EXPECT_TRUE(fake().WaitForCancelled(1));
}

// The request waits for an adapter while everything it uses goes away.
TEST_F(ModuleTest, StoppingWhileARequestWaitsForItsModelEnds) {
  Start();
  const std::string adapter = Adapter("one", base_);
  fake().HoldLoads();
  std::thread client([&] {
    const auto response = client_.Send({.method = "POST",
                                        .url = Url("/v1/chat/completions"),
                                        .body = Chat(adapter).dump(),
                                        .timeout = absl::Seconds(30)});
    EXPECT_FALSE(response.ok() && response->status == 200);
  });
  ASSERT_TRUE(fake().WaitForHeldLoads(1));
  server_->Stop();
  client.join();
  server_.reset();
  FakeEngine& engine = fake();
  std::thread release([&] { engine.ReleaseLoads(); });
  fakes_ = nullptr;
  module_.reset();
  release.join();
}

}  // namespace
}  // namespace crossover::inference
