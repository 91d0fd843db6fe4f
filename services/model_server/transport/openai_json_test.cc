#include "services/model_server/transport/openai_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/testing/matchers.h"
#include "services/model_server/domain/fake_engine.h"

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kMinimal[] = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

// kMinimal with `extra` put in.
std::string With(const std::string& extra) {
  std::string body = kMinimal;
  return body.insert(body.size() - 1, "," + extra);
}

std::string FieldOf(const std::string& body) {
  const auto request = ParseChatRequest(body);
  EXPECT_THAT(request.status(), HasReasonThat("FIELD_INVALID")) << body;
  const auto violations = DetailOf(request.status()).violations;
  return violations.empty() ? "" : violations[0].field;
}

TEST(ParseChatRequestTest, ReadsMessagesAndSampling) {
  ASSERT_OK_AND_ASSIGN(const ChatRequest request, ParseChatRequest(R"({"model":"m","messages":[
        {"role":"developer","content":"d"},
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"1","content":"42"}],
        "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],
        "temperature":0.5,"top_p":0.9,"n":2,"seed":7,"stop":"x","max_completion_tokens":5,"logprobs":true,"top_logprobs":3,
        "logit_bias":{"5":-100},"stream":true,"stream_options":{"include_usage":true},"response_format":{"type":"text"},
        "user":"u","metadata":{"a":"b"},"parallel_tool_calls":true,"unknown_field":1})"));
  const ChatPrompt& prompt = std::get<ChatPrompt>(request.command.prompt);
  ASSERT_EQ(prompt.messages.size(), 4u);
  EXPECT_EQ(prompt.messages[1].content, "ab");
  EXPECT_EQ(prompt.messages[2].tool_calls[0].name, "f");
  EXPECT_EQ(prompt.messages[2].tool_calls[0].id, "1");
  EXPECT_EQ(prompt.messages[3].tool_call_id, "1");
  EXPECT_EQ(prompt.tools[0].parameters, R"({"type":"object"})");
  const Sampling& sampling = request.command.sampling;
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.n, 2);
  EXPECT_EQ(sampling.seed, 7);
  EXPECT_EQ(sampling.max_tokens, 5);
  EXPECT_EQ(sampling.logprobs, 3);
  EXPECT_THAT(sampling.stop, ElementsAre("x"));
  EXPECT_EQ(sampling.logit_bias.at(5), -100);
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
}

TEST(ParseChatRequestTest, NullsAreAsIfAbsent) {
  ASSERT_OK_AND_ASSIGN(
      const ChatRequest request,
      ParseChatRequest(
          With(R"("temperature":null,"stop":null,"tools":null,"stream":null,"n":null)")));
  EXPECT_FALSE(request.command.sampling.temperature.has_value());
  EXPECT_FALSE(request.stream);
}

TEST(ParseChatRequestTest, EveryMistakeNamesItsField) {
  EXPECT_EQ(FieldOf("{"), "body");
  EXPECT_EQ(FieldOf("[]"), "body");
  EXPECT_EQ(FieldOf(R"({"messages":[]})"), "model");
  EXPECT_EQ(FieldOf(R"({"model":"m","messages":[]})"), "messages");
  EXPECT_EQ(FieldOf(R"({"model":"m","messages":[3]})"), "messages[0]");
  EXPECT_EQ(FieldOf(R"({"model":"m","messages":[{"role":"user"}]})"), "messages[0].content");
  EXPECT_EQ(
      FieldOf(R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}]})"),
      "messages[0].content[0]");
  EXPECT_EQ(FieldOf(R"({"model":"m","messages":[{"content":"x"}]})"), "messages[0].role");
  EXPECT_EQ(FieldOf(R"({"model":"m","messages":[{"role":"tool","content":"x","tool_call_id":1}]})"),
            "messages[0].tool_call_id");
  EXPECT_EQ(FieldOf(With(R"("temperature":"hot")")), "temperature");
  EXPECT_EQ(FieldOf(With(R"("temperature":3)")), "temperature");
  EXPECT_EQ(FieldOf(With(R"("n":1.5)")), "n");
  EXPECT_EQ(FieldOf(With(R"("stop":[1])")), "stop");
  EXPECT_EQ(FieldOf(With(R"("top_logprobs":2)")), "top_logprobs");
  EXPECT_EQ(FieldOf(With(R"("logit_bias":{"x":1})")), "logit_bias.x");
  EXPECT_EQ(FieldOf(With(R"("presence_penalty":2.5)")), "presence_penalty");
  EXPECT_EQ(FieldOf(With(R"("frequency_penalty":"x")")), "frequency_penalty");
  EXPECT_EQ(FieldOf(With(R"("repetition_penalty":0)")), "repetition_penalty");
  EXPECT_EQ(FieldOf(With(R"("response_format":{"type":"grammar"})")), "response_format.type");
  for (const char* holder : {"", R"(,"json_schema":{})", R"(,"json_schema":{"schema":3})"}) {
    EXPECT_EQ(
        FieldOf(With(absl::StrCat(R"("response_format":{"type":"json_schema")", holder, "}"))),
        "response_format.json_schema.schema");
  }
  EXPECT_EQ(FieldOf(With(R"("guided_regex":3)")), "guided_regex");
  EXPECT_EQ(FieldOf(With(R"("guided_choice":[])")), "guided_choice");
  EXPECT_EQ(FieldOf(With(R"("guided_json":3)")), "guided_json");
  EXPECT_EQ(FieldOf(With(R"("grammar":"x")")), "grammar");
  EXPECT_EQ(FieldOf(With(R"("guided_regex":"a","response_format":{"type":"json_object"})")),
            "guided_regex");
  EXPECT_EQ(FieldOf(With(R"("tool_choice":"required")")), "tool_choice");
  EXPECT_EQ(FieldOf(With(R"("tool_choice":{"type":"function","function":{"name":"f"}})")),
            "tool_choice.function.name");
  EXPECT_EQ(FieldOf(With(absl::StrCat(R"("x":)", std::string(300, '['), std::string(300, ']')))),
            "body");
  EXPECT_EQ(FieldOf(With(R"("stream_options":{"include_usage":true})")), "stream_options");
}

TEST(ParseChatRequestTest, ReadsWhatTheAnswerMustLookLike) {
  using Kind = llm::ConstraintSpec::Kind;
  const auto constraint = [](const std::string& extra) {
    const auto request = ParseChatRequest(With(extra));
    EXPECT_OK(request);
    return request.ok() ? request->command.constraint.value_or(llm::ConstraintSpec{.text = "none"})
                        : llm::ConstraintSpec{};
  };
  EXPECT_EQ(constraint(R"("response_format":{"type":"text"})").text, "none");
  EXPECT_EQ(constraint(R"("response_format":{"type":"json_object"})").text, "");
  // Members keep their order.
  const std::string schema = R"({"type":"object","properties":{"z":{},"a":{}}})";
  const auto strict =
      constraint(R"("response_format":{"json_schema":{"strict":true,"name":"n","schema":)" +
                 schema + R"(},"type":"json_schema"})");
  EXPECT_EQ(strict.kind, Kind::kJsonSchema);
  EXPECT_EQ(strict.text, schema);
  EXPECT_EQ(constraint(R"("guided_json":)" + schema).text, schema);
  EXPECT_EQ(constraint(R"("guided_json":"{\"type\":\"null\"}")").text, R"({"type":"null"})");
  EXPECT_EQ(constraint(R"("guided_regex":"a+")").kind, Kind::kRegex);
  EXPECT_THAT(constraint(R"("guided_choice":["a","b"])").choices, ElementsAre("a", "b"));
}

TEST(ParseChatRequestTest, ReadsForcedToolsAndPenalties) {
  const std::string tools =
      R"("tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}],)";
  ASSERT_OK_AND_ASSIGN(const ChatRequest any,
                       ParseChatRequest(With(tools + R"("tool_choice":"required")")));
  EXPECT_EQ(any.command.forced_tool, "");
  EXPECT_EQ(ConstraintOf(any.command)->tools.size(), 2u);
  ASSERT_OK_AND_ASSIGN(
      const ChatRequest one,
      ParseChatRequest(
          With(tools + R"("tool_choice":{"type":"function","function":{"name":"g"}})")));
  EXPECT_EQ(ConstraintOf(one.command)->tools[0].name, "g");
  // A constrained answer may be a call where tools are offered.
  ASSERT_OK_AND_ASSIGN(const ChatRequest either,
                       ParseChatRequest(With(tools + R"("guided_regex":"a")")));
  EXPECT_EQ(ConstraintOf(either.command)->alternatives.size(), 2u);
  ASSERT_OK_AND_ASSIGN(
      const ChatRequest penalties,
      ParseChatRequest(
          With(R"("presence_penalty":-1,"frequency_penalty":0.5,"repetition_penalty":1.2)")));
  EXPECT_EQ(penalties.command.sampling.presence_penalty, -1);
  EXPECT_EQ(penalties.command.sampling.frequency_penalty, 0.5);
  EXPECT_EQ(penalties.command.sampling.repetition_penalty, 1.2);
}

TEST(AnswerJsonTest, HasTheContractsShape) {
  const AnswerHead head{.id = "chatcmpl-1", .created = 5, .model = "m", .fingerprint = "sha256:x"};
  const auto tokenizer = ByteTokenizer();
  const llm::GeneratedToken token{'h', -0.5f, {{'h', -0.5f}, {0xff, -1.0f}}};
  const auto whole = CompletionJson(head, {{"h", {token}, "stop"}},
                                    {.input = 3, .cached_input = 1, .output = 1}, true, *tokenizer);
  EXPECT_EQ(
      Dump(whole),
      R"({"id":"chatcmpl-1","object":"chat.completion","created":5,"model":"m","system_fingerprint":"sha256:x",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"h","refusal":null},)"
      R"("logprobs":{"content":[{"token":"h","logprob":-0.5,"bytes":[104],"top_logprobs":[)"
      R"({"token":"h","logprob":-0.5,"bytes":[104]},{"token":"�","logprob":-1.0,"bytes":[255]}]}],"refusal":null},)"
      R"("finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,)"
      R"("prompt_tokens_details":{"cached_tokens":1}}})");
  EXPECT_EQ(
      Dump(ChunkJson(head, {0, "h", {token}, ""}, true, false, *tokenizer)),
      R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","system_fingerprint":"sha256:x",)"
      R"("choices":[{"index":0,"delta":{"content":"h"},"logprobs":null,"finish_reason":null}],"usage":null})");
  EXPECT_THAT(Dump(UsageChunkJson(head, {.input = 3, .output = 1})),
              HasSubstr(R"("choices":[],"usage":{"prompt_tokens":3)"));
}

TEST(ErrorJsonTest, HasAllFourKeysAndSaysWhenToComeBack) {
  const absl::Status status = Error(absl::StatusCode::kInvalidArgument, "'n' is wrong",
                                    {.reason = "FIELD_INVALID", .violations = {{"n", "is wrong"}}});
  EXPECT_EQ(
      Dump(ErrorJson(status)),
      R"({"error":{"message":"'n' is wrong","type":"invalid_request_error","param":"n","code":"field_invalid"}})");
  const http::Response full =
      ErrorResponse(Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "full"));
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.headers.Get("retry-after"), "1");
  EXPECT_THAT(full.body,
              HasSubstr(R"("type":"rate_limit_error","param":null,"code":"queue_full")"));
  EXPECT_EQ(HttpStatusOf(absl::NotFoundError("")), 404);
  EXPECT_EQ(HttpStatusOf(absl::UnavailableError("")), 503);
  EXPECT_EQ(HttpStatusOf(absl::InternalError("")), 500);
}

}  // namespace
}  // namespace crossover::inference
