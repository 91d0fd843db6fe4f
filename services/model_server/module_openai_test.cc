// Completions, embeddings, mixes and the watchdog over HTTP and gRPC, with a fake engine.
#include <cstring>

#include "absl/strings/escaping.h"
#include "services/model_server/module_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr char kCompletions[] = "/v1/completions";
constexpr char kEmbeddings[] = "/v1/embeddings";

class OpenAiTest : public ModuleTest {
 protected:
  json Complete(const json& body) {
    const http::ClientResponse response = Post(body, {}, kCompletions);
    EXPECT_EQ(response.status, 200) << response.body;
    return json::parse(response.body);
  }
};

TEST_F(OpenAiTest, ACompletionContinuesTextsAndTokenIds) {
  Start();
  fake().SetAnswer([](const llm::GenerateRequest& request) {
    return std::string(1, static_cast<char>(request.prompt.back())) + "!";
  });
  const json one = Complete({{"model", "small"}, {"prompt", "ab"}});
  EXPECT_EQ(one["object"], "text_completion");
  EXPECT_EQ(one["choices"][0]["text"], "b!");
  EXPECT_EQ(one["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(one["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(one["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(fake().Requests().back().sampling.max_tokens, 16);
  const json ids = Complete({{"model", "small"}, {"prompt", {'a', 'c'}}});
  EXPECT_EQ(ids["choices"][0]["text"], "c!");
  const json many = Complete({{"model", "small"}, {"prompt", {"a", "b"}}, {"n", 2}});
  ASSERT_EQ(many["choices"].size(), 4u);
  EXPECT_EQ(many["choices"][1]["text"], "a!");
  EXPECT_EQ(many["choices"][2]["text"], "b!");
  EXPECT_EQ(many["usage"]["completion_tokens"], 8);
  const json lists = Complete({{"model", "small"}, {"prompt", {{'a'}, {'b', 'd'}}}});
  EXPECT_EQ(lists["choices"][1]["text"], "d!");
}

TEST_F(OpenAiTest, AnEchoBeginsWithThePromptAndItsLogprobs) {
  Start();
  const json body = {
      {"model", "small"}, {"prompt", "ab"}, {"echo", true}, {"logprobs", 1}, {"max_tokens", 2}};
  const json choice = Complete(body)["choices"][0];
  EXPECT_EQ(choice["text"], "abhe");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["logprobs"]["tokens"], json({"a", "b", "h", "e"}));
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], json({nullptr, -0.5, -0.25, -0.25}));
  EXPECT_EQ(choice["logprobs"]["text_offset"], json({0, 1, 2, 3}));
  EXPECT_TRUE(choice["logprobs"]["top_logprobs"][0].is_null());
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][1], json({{"z", -0.25}, {"b", -0.5}}));
}

TEST_F(OpenAiTest, APromptIsScoredWithoutAnAnswer) {
  Start();
  const json answer = Complete({{"model", "small"},
                                {"prompt", {"abc", "a"}},
                                {"echo", true},
                                {"logprobs", 0},
                                {"max_tokens", 0}});
  EXPECT_EQ(answer["choices"][0]["text"], "abc");
  EXPECT_EQ(answer["choices"][0]["logprobs"]["token_logprobs"], json({nullptr, -0.5, -0.5}));
  EXPECT_EQ(answer["choices"][1]["text"], "a");
  EXPECT_EQ(answer["choices"][1]["logprobs"]["token_logprobs"], json::array({nullptr}));
  EXPECT_EQ(answer["usage"]["completion_tokens"], 0);
  EXPECT_EQ(answer["system_fingerprint"], base_);
  EXPECT_TRUE(fake().Requests().empty());
}

TEST_F(OpenAiTest, ACompletionStreams) {
  Start();
  const std::vector<std::string> data = Stream({{"model", "small"},
                                                {"prompt", {"ab", "c"}},
                                                {"echo", true},
                                                {"logprobs", 0},
                                                {"stream_options", {{"include_usage", true}}}},
                                               kCompletions);
  EXPECT_EQ(data.back(), "[DONE]");
  std::map<int, std::string> texts, reasons;
  std::map<int, std::vector<int64_t>> offsets;
  for (size_t i = 0; i + 2 < data.size(); ++i) {
    const json choice = json::parse(data[i])["choices"][0];
    texts[choice["index"]] += choice["text"];
    if (!choice["finish_reason"].is_null()) reasons[choice["index"]] = choice["finish_reason"];
    for (const int64_t offset : choice["logprobs"]["text_offset"])
      offsets[choice["index"]].push_back(offset);
  }
  EXPECT_EQ(texts[0], "abhello");
  EXPECT_EQ(texts[1], "chello");
  EXPECT_EQ(reasons[1], "stop");
  EXPECT_THAT(offsets[0], ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_EQ(json::parse(data[data.size() - 2])["usage"]["completion_tokens"], 10);
}

TEST_F(OpenAiTest, CompletionsThatCannotBeServedAreNamed) {
  Start();
  const auto param = [&](json body) {
    body["model"] = "small";
    const http::ClientResponse response = Post(body, {}, kCompletions);
    EXPECT_EQ(response.status, 400) << response.body;
    return json::parse(response.body)["error"]["param"].get<std::string>();
  };
  EXPECT_EQ(param({}), "prompt");
  EXPECT_EQ(param({{"prompt", 5}}), "prompt");
  EXPECT_EQ(param({{"prompt", {{1, "x"}}}}), "prompt[0][1]");
  EXPECT_EQ(param({{"prompt", {1, -1}}}), "prompt[1]");
  EXPECT_EQ(param({{"prompt", {1, 5000}}}), "prompt[1]");
  EXPECT_EQ(param({{"prompt", {{1, 2}, {1, 5000}}}}), "prompt[1][1]");
  EXPECT_EQ(param({{"prompt", ""}}), "prompt");
  EXPECT_EQ(param({{"prompt", std::string(5000, 'x')}}), "prompt");
  EXPECT_EQ(param({{"prompt", {"a", std::string(5000, 'x')}}}), "prompt[1]");
  EXPECT_EQ(param({{"prompt", "a"}, {"suffix", "b"}}), "suffix");
  EXPECT_EQ(param({{"prompt", "a"}, {"best_of", 3}}), "best_of");
  EXPECT_EQ(param({{"prompt", "a"}, {"logprobs", 21}}), "logprobs");
  EXPECT_EQ(param({{"prompt", "a"}, {"logprobs", true}}), "logprobs");
  EXPECT_EQ(param({{"prompt", "a"}, {"echo", 1}}), "echo");
  EXPECT_EQ(param({{"prompt", "a"}, {"max_tokens", -1}}), "max_tokens");
  EXPECT_EQ(param({{"prompt", "a"}, {"max_tokens", 0}}), "max_tokens");
  EXPECT_EQ(param({{"prompt", "a"}, {"n", 0}}), "n");
}

TEST_F(OpenAiTest, EmbeddingsComeAsNumbersOrBase64) {
  Start();
  // The fake's vectors: (first token, length, 0).
  const json body = {{"model", "small"}, {"input", {"\x03xxx", "\x04xx"}}};
  const json list = json::parse(Post(body, {}, kEmbeddings).body);
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["usage"]["total_tokens"], 7);
  EXPECT_THAT(list["data"][0]["embedding"].get<std::vector<float>>(),
              ElementsAre(FloatNear(0.6f, 1e-6), FloatNear(0.8f, 1e-6), 0));
  EXPECT_EQ(list["data"][1]["index"], 1);
  json cut = body;
  cut["encoding_format"] = "base64";
  cut["dimensions"] = 2;
  const json encoded = json::parse(Post(cut, {}, kEmbeddings).body);
  std::string bytes;
  ASSERT_TRUE(absl::Base64Unescape(encoded["data"][1]["embedding"].get<std::string>(), &bytes));
  std::vector<float> vector(2);
  ASSERT_EQ(bytes.size(), sizeof(float) * 2);
  std::memcpy(vector.data(), bytes.data(), bytes.size());
  EXPECT_THAT(vector, ElementsAre(FloatNear(0.8f, 1e-6), FloatNear(0.6f, 1e-6)));
  EXPECT_EQ(json::parse(Post({{"model", "small"}, {"input", {3, 4}}}, {}, kEmbeddings).body)["data"]
                .size(),
            1u);

  pb::EmbedRequest request;
  request.set_model("small");
  request.add_texts("\x03xxx");
  const auto response = rpc::Invoke(*stub_, &pb::InferenceService::Stub::Embed, request);
  ASSERT_OK(response);
  EXPECT_THAT(response->embeddings(0).values(),
              ElementsAre(FloatNear(0.6f, 1e-6), FloatNear(0.8f, 1e-6), 0));
  EXPECT_EQ(response->usage().input(), 4);
  EXPECT_EQ(response->system_fingerprint(), base_);
}

TEST_F(OpenAiTest, EmbeddingsThatCannotBeServedAreNamed) {
  Start({.http_api_key = "secret"});
  const auto param = [&](json body) {
    body["model"] = "small";
    const http::ClientResponse response =
        Post(body, {{"authorization", "Bearer secret"}}, kEmbeddings);
    EXPECT_EQ(response.status, 400) << response.body;
    return json::parse(response.body)["error"]["param"].get<std::string>();
  };
  EXPECT_EQ(param({}), "input");
  EXPECT_EQ(param({{"input", ""}}), "input");
  EXPECT_EQ(param({{"input", {"a", ""}}}), "input[1]");
  EXPECT_EQ(param({{"input", {1, 5000}}}), "input[1]");
  EXPECT_EQ(param({{"input", {"a", std::string(5000, 'x')}}}), "input[1]");
  EXPECT_EQ(param({{"input", "a"}, {"dimensions", 0}}), "dimensions");
  EXPECT_EQ(param({{"input", "a"}, {"dimensions", 4}}), "dimensions");
  EXPECT_EQ(param({{"input", "a"}, {"encoding_format", "int8"}}), "encoding_format");
  EXPECT_EQ(Post({{"model", "small"}, {"input", "a"}}, {}, kEmbeddings).status, 401);
}

TEST_F(OpenAiTest, AMixOfAdaptersReachesTheEngine) {
  Start();
  const std::string one = Adapter("one", base_), two = Adapter("two", base_);
  pb::GenerateBatchRequest batch;
  *batch.add_requests() = Generate();
  for (const std::string& digest : {one, two}) {
    auto* share = batch.mutable_requests(0)->add_adapter_mix();
    share->set_digest(digest);
    share->set_weight(0.5);
  }
  ASSERT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, batch));
  const llm::GenerateRequest request = fake().Requests().back();
  ASSERT_EQ(request.mix.size(), 2u);
  EXPECT_EQ(request.mix[1].adapter, two);
  EXPECT_EQ(request.mix[1].weight, 0.5f);
  EXPECT_FALSE(request.caller.empty());
}

TEST_F(OpenAiTest, ABatchThatMakesNoProgressFailsTheHealthCheck) {
  Start({.stall_timeout = absl::Seconds(5)});
  EXPECT_EQ(client_.Send({.url = Url("/healthz")})->status, 200);
  fake().SetStalled(4.9);
  EXPECT_OK(module_->Ready());
  fake().SetStalled(5.1);
  EXPECT_THAT(module_->Ready(), HasReasonThat("ENGINE_STALLED"));
  EXPECT_EQ(client_.Send({.url = Url("/healthz")})->status, 503);
  EXPECT_EQ(client_.Send({.url = Url("/readyz")})->status, 503);
  EXPECT_THAT(client_.Send({.url = Url("/metrics")})->body,
              HasSubstr("crossover_inference_stall_seconds 5.1"));
  fake().SetStalled(0);
  EXPECT_EQ(client_.Send({.url = Url("/healthz")})->status, 200);
  EXPECT_OK(module_->Ready());
}

}  // namespace
}  // namespace crossover::inference
