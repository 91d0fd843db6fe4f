// Requests, assignment, streams, answers, comparators, validators.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/testing/matchers.h"
#include "services/shadow_router/domain/answer.h"
#include "services/shadow_router/domain/assignment.h"
#include "services/shadow_router/domain/chat_request.h"
#include "services/shadow_router/domain/comparator.h"
#include "services/shadow_router/domain/grader.h"
#include "services/shadow_router/domain/redactor.h"
#include "services/shadow_router/domain/routing_table.h"

namespace crossover::router {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

TEST(ChatRequestTest, KeepsTheClientsBytesAndChangesOnlyWhatItIsTold) {
  const std::string body =
      "{ \"x_unknown\" : [1, {\"a\":\"}\"}],\n \"model\":\"sorter\", "
      "\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9\"}],"
      "\"temperature\" : 0.50 , \"seed\": null}";
  ASSERT_OK_AND_ASSIGN(const ChatRequest request, ParseChatRequest(body));
  EXPECT_EQ(request.model, "sorter");
  EXPECT_EQ(request.last_user_message, "hé");
  const std::string out = Apply(
      request,
      {.set = {{"model", "\"m\""}}, .fill = {{"temperature", "0"}, {"seed", "7"}}, .remove = {}});
  EXPECT_EQ(
      out,
      "{\"x_unknown\" : [1, "
      "{\"a\":\"}\"}],\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9\"}],"
      "\"temperature\" : 0.50,\"seed\": 7}");
}

TEST(ChatRequestTest, ReadsLabelConversationAndUserAndHidesItsOwnMetadata) {
  ASSERT_OK_AND_ASSIGN(const ChatRequest request,
                       ParseChatRequest(R"({"model":"r","user":"u1","store":true,"stream":true,
      "metadata":{"crossover_label":"{\"a\":1}","crossover_conversation":"c9","team":"x"},
      "messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"tool","content":"t"}]})"));
  EXPECT_EQ(request.label, "{\"a\":1}");
  EXPECT_EQ(request.conversation, "c9");
  EXPECT_EQ(request.user, "u1");
  EXPECT_EQ(request.last_user_message, "ab");
  EXPECT_TRUE(request.store && request.stream && request.has_tool_results);
  const ResolvedVariant variant{.system = {.model = {.model = "m"}}};
  ASSERT_OK_AND_ASSIGN(const std::string served, BodyFor(variant, request, Purpose::kServe));
  EXPECT_EQ(Json::parse(served)["metadata"], Json({{"team", "x"}}));
  EXPECT_EQ(Json::parse(served)["stream_options"], Json({{"include_usage", true}}));
  ASSERT_OK_AND_ASSIGN(const std::string mirrored, BodyFor(variant, request, Purpose::kMirror));
  EXPECT_EQ(Json::parse(mirrored)["store"], false);
  EXPECT_EQ(Json::parse(mirrored)["stream"], false);
  EXPECT_FALSE(Json::parse(mirrored).contains("stream_options"));
  EXPECT_FALSE(Json::parse(mirrored).contains("metadata"));
}

TEST(ChatRequestTest, SaysWhatIsWrongWithABadBody) {
  const auto fails = [](const char* body, const char* words) {
    EXPECT_THAT(ParseChatRequest(body),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words)))
        << body;
  };
  fails("not json", "not valid JSON");
  fails("[]", "must be a JSON object");
  fails("{\"model\":\"r\"", "not valid JSON");
  fails("{\"model\":\"r\",\"messages\":\"\xff\xfe\"}", "UTF-8");
  fails(R"({"messages":[{"role":"user","content":"x"}]})", "'model'");
  fails(R"({"model":7,"messages":[{"role":"user","content":"x"}]})", "'model'");
  fails(R"({"model":"r"})", "'messages'");
  fails(R"({"model":"r","messages":[]})", "at least one");
  fails(R"({"model":"r","messages":[{"content":"x"}]})", "messages[0].role");
  fails(R"({"model":"r","model":"q","messages":[{"role":"user","content":"x"}]})",
        "more than once");
  fails(R"({"model":"r","stream":"yes","messages":[{"role":"user"}]})", "'stream'");
  fails(R"({"model":"r","metadata":{"a":1},"messages":[{"role":"user"}]})", "metadata.a");
}

TEST(ChatRequestTest, RendersTheVariantsPrompt) {
  auto spec = std::make_shared<prompt::PromptSpec>();
  spec->messages = {{"system", "Classify."}, {"user", "Input: {{input}}"}};
  spec->sampling.max_tokens = 9;
  spec->response_format = R"({"type":"json_object"})";
  ResolvedVariant variant{.system = {.model = {.model = "m"}, .sampling = {{"temperature", "0"}}}};
  variant.prompt = spec;
  ASSERT_OK_AND_ASSIGN(
      const ChatRequest request,
      ParseChatRequest(
          R"({"model":"r","messages":[{"role":"system","content":"mine"},{"role":"user","content":"cat"}]})"));
  ASSERT_OK_AND_ASSIGN(const std::string text, BodyFor(variant, request, Purpose::kServe));
  const Json body = Json::parse(text);
  EXPECT_EQ(
      body["messages"],
      Json::parse(
          R"([{"role":"system","content":"Classify."},{"role":"user","content":"Input: cat"}])"));
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_EQ(body["temperature"], 0);
  EXPECT_EQ(body["response_format"]["type"], "json_object");
}

TEST(AssignmentTest, RaisingTheWeightOnlyAddsKeysAndTheShadowIsDrawnIndependently) {
  Route route{.salt = "s", .shadow_salt = "t"};
  TrafficPlan plan{
      .experiment = "e", .reference = "old", .candidate = "new", .shadow_share = 5'000};
  int canary_and_sampled = 0, canary = 0, sampled = 0;
  constexpr int kKeys = 20'000;
  for (int i = 0; i < kKeys; ++i) {
    const RequestKey key{.user = "user" + std::to_string(i), .conversation = "", .request_id = "r"};
    bool before = false;
    for (int weight : {0, 100, 500, 2'500, 5'000, 10'000}) {
      plan.canary_weight = weight;
      const bool now = Assign(route, plan, key).canary;
      EXPECT_TRUE(now || !before);
      before = now;
    }
    plan.canary_weight = 2'500;
    const Assignment assignment = Assign(route, plan, key);
    EXPECT_EQ(assignment.variant, assignment.canary ? "new" : "old");
    canary += assignment.canary;
    sampled += assignment.sampled;
    canary_and_sampled += assignment.canary && assignment.sampled;
  }
  EXPECT_NEAR(canary, kKeys * 0.25, 4 * 62);
  EXPECT_NEAR(sampled, kKeys * 0.5, 4 * 71);
  EXPECT_NEAR(canary_and_sampled, kKeys * 0.125, 4 * 47);
}

TEST(AssignmentTest, TheKeyIsTheUserElseTheConversationElseTheRequest) {
  const RequestKey all{.user = "u", .conversation = "c", .request_id = "r"};
  EXPECT_EQ(StickyKey(all, StickyBy::kUser), "u");
  EXPECT_EQ(StickyKey(all, StickyBy::kConversation), "c");
  EXPECT_EQ(StickyKey(all, StickyBy::kRequest), "r");
  EXPECT_EQ(StickyKey({.user = "", .conversation = "c", .request_id = "r"}, StickyBy::kUser), "c");
  EXPECT_EQ(
      StickyKey({.user = "u", .conversation = "", .request_id = "r"}, StickyBy::kConversation),
      "r");
}

TEST(SseTest, EventsAreTheSameHoweverTheBytesAreCut) {
  const std::string stream =
      ": comment\r\n\r\ndata: {\"a\":\"é\"}\r\n\r\ndata: one\ndata: two\n\nevent: x\rdata: "
      "three\r\rdata: [DONE]\n\n";
  std::vector<std::string> whole;
  std::string raw_whole;
  SseParser parser;
  parser.Feed(stream, [&](std::string_view data, std::string_view raw) {
    whole.emplace_back(data);
    raw_whole.append(raw);
  });
  EXPECT_THAT(whole, ::testing::ElementsAre("", "{\"a\":\"é\"}", "one\ntwo", "three", "[DONE]"));
  EXPECT_EQ(raw_whole, stream);
  for (size_t cut = 1; cut < stream.size(); ++cut) {
    std::vector<std::string> events;
    std::string raw_all;
    SseParser split;
    const auto take = [&](std::string_view data, std::string_view raw) {
      events.emplace_back(data);
      raw_all.append(raw);
    };
    split.Feed(stream.substr(0, cut), take);
    split.Feed(stream.substr(cut), take);
    EXPECT_EQ(events, whole) << cut;
    EXPECT_EQ(raw_all, stream) << cut;
  }
}

TEST(AnswerTest, AStreamAndABodyGiveTheSameAnswer) {
  AnswerAssembler assembler(1 << 20);
  assembler.Feed(
      R"(data: {"id":"chatcmpl-1","model":"m","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"he"}}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}}

data: [DONE]

)");
  const Answer streamed = assembler.Finish();
  ASSERT_OK_AND_ASSIGN(const Answer whole,
                       ParseCompletion(R"({"id":"chatcmpl-1","model":"m","system_fingerprint":"fp",
    "choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}})"));
  EXPECT_EQ(streamed.status, CallStatus::kOk);
  EXPECT_EQ(streamed.content, whole.content);
  EXPECT_EQ(streamed.finish_reason, whole.finish_reason);
  EXPECT_EQ(streamed.usage, whole.usage);
  EXPECT_EQ(streamed.system_fingerprint, whole.system_fingerprint);
  EXPECT_EQ(whole.usage.cached_input, 3);
}

TEST(AnswerTest, AToolCallIsTheSameInPiecesAndWhole) {
  AnswerAssembler assembler(1 << 20);
  assembler.Feed(
      "data: "
      "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\","
      "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"b\\\":\"}}]}}]}\n\n");
  assembler.Feed(
      "data: "
      "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{"
      "\"arguments\":\"1, \\\"a\\\":2}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n");
  ASSERT_OK_AND_ASSIGN(
      const Answer whole,
      ParseCompletion(
          R"({"choices":[{"message":{"content":null,"tool_calls":[{"id":"other","function":{"name":"f","arguments":"{\"a\":2,\"b\":1}"}}]},"finish_reason":"tool_calls"}]})"));
  EXPECT_EQ(assembler.Finish().tool_calls, whole.tool_calls);
  EXPECT_FALSE(whole.tool_calls.empty());
}

TEST(AnswerTest, ACutStreamAndAMidStreamErrorAreBroken) {
  AnswerAssembler cut(1 << 20);
  cut.Feed("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"he\"}}]}\n\ndata: {\"cho");
  EXPECT_EQ(cut.Finish().status, CallStatus::kBroken);
  AnswerAssembler failed(1 << 20);
  failed.Feed("data: {\"error\":{\"message\":\"out of memory\"}}\n\ndata: [DONE]\n\n");
  const Answer answer = failed.Finish();
  EXPECT_EQ(answer.status, CallStatus::kBroken);
  EXPECT_THAT(answer.error, HasSubstr("out of memory"));
  AnswerAssembler large(10);
  large.Feed("data: 12345678901\n\n");
  EXPECT_EQ(large.Finish().status, CallStatus::kTooLarge);
}

TEST(ComparatorTest, TextIsComparedAfterFolding) {
  const ComparatorSpec text{.kind = ComparatorSpec::Kind::kText};
  EXPECT_TRUE(CompareText(text, "  Straße \n one ", "STRASSE one").equal);
  EXPECT_FALSE(CompareText(text, "a b", "ab").equal);
  EXPECT_TRUE(CompareText({.kind = ComparatorSpec::Kind::kNumeric, .fields = {}, .tolerance = 0.01},
                          " 100.5 ", "100")
                  .equal);
  EXPECT_FALSE(
      CompareText({.kind = ComparatorSpec::Kind::kNumeric, .fields = {}, .tolerance = 0.01}, "x",
                  "x")
          .equal);
  EXPECT_FALSE(CompareText({.kind = ComparatorSpec::Kind::kExact}, "a", "a ").equal);
}

TEST(ComparatorTest, JsonIsComparedByFieldAndWhatDoesNotParseEqualsNothing) {
  ComparatorSpec json{.kind = ComparatorSpec::Kind::kJson};
  const ComparisonResult all =
      CompareText(json, R"({"a":1,"b":{"c":"x"}})", R"({"b":{"c":"y"},"a":1.0})");
  EXPECT_FALSE(all.equal);
  EXPECT_DOUBLE_EQ(all.score, 0.5);
  EXPECT_THAT(all.fields,
              ::testing::ElementsAre(FieldResult{"a", true}, FieldResult{"b.c", false}));
  json.fields = {"a"};
  EXPECT_TRUE(CompareText(json, R"({"a":1,"b":2})", R"({"a":1})").equal);
  EXPECT_FALSE(CompareText(json, "oops", "oops").equal);
}

TEST(ValidatorTest, ChecksSchemaAndLabels) {
  ASSERT_OK_AND_ASSIGN(const Validator validator,
                       Validator::Create({.label_set = {}, .json_schema = R"({"type":"object",
    "required":["s"],"additionalProperties":false,"definitions":{"n":{"type":["integer","null"],"minimum":1}},
    "properties":{"s":{"enum":["a","b"]},"n":{"$ref":"#/definitions/n"},"p":{"pattern":"^x+$"},
    "u":{"anyOf":[{"type":"string"},{"type":"boolean"}]}}})"}));
  EXPECT_OK(validator.Check(R"({"s":"a","n":null,"p":"xx","u":true})"));
  EXPECT_THAT(validator.Check("no"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not valid JSON")));
  for (const char* bad : {"{}", R"({"s":"c"})", R"({"s":"a","x":1})", R"({"s":"a","n":0})",
                          R"({"s":"a","p":"y"})", R"({"s":"a","u":1})"}) {
    EXPECT_FALSE(validator.Check(bad).ok()) << bad;
  }
  for (const char* bad : {"no", "[]", R"({"$ref":"http://127.0.0.1:1/x.json"})", R"({"type":7})"}) {
    EXPECT_THAT(Validator::Create({.label_set = {}, .json_schema = bad}),
                HasReasonThat("INVALID_SCHEMA"))
        << bad;
  }
  ASSERT_OK_AND_ASSIGN(const Validator labels,
                       Validator::Create({.label_set = {"yes", "no"}, .json_schema = ""}));
  EXPECT_OK(labels.Check(" yes\n"));
  EXPECT_FALSE(labels.Check("maybe").ok());
}

TEST(ValidatorTest, NeitherBracketsNorPatternsRunAThreadOutOfStack) {
  ASSERT_OK_AND_ASSIGN(
      const Validator validator,
      Validator::Create(
          {.label_set = {},
           .json_schema = R"({"properties":{"c":{"$ref":"#"},"p":{"pattern":"^(a|b)*$"}}})"}));
  const std::string deep = std::string(300'000, '[') + std::string(300'000, ']');
  EXPECT_FALSE(validator.Check(deep).ok());
  EXPECT_FALSE(validator.Check("{\"p\":\"" + std::string(1'000'000, 'a') + "\"}").ok());
  ComparatorSpec json{.kind = ComparatorSpec::Kind::kJson};
  EXPECT_FALSE(CompareText(json, deep, deep).equal);
  const Answer answer = *ParseCompletion(
      R"({"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":")" + deep +
      R"("}}]}}]})");
  EXPECT_FALSE(answer.tool_calls.empty());
}

TEST(RedactorTest, TakesOutWhatIdentifiesPeopleAndKeepsTheRest) {
  ASSERT_OK_AND_ASSIGN(const auto redactor, Redactor::Create());
  ASSERT_OK_AND_ASSIGN(const Redacted redacted,
                       redactor->Redact("Mail ann@example.org, card 4111 1111 1111 1111, key "
                                        "sk-abcdefghijklmnopqrst, order 1234567890123456"));
  EXPECT_EQ(redacted.text, "Mail [EMAIL], card [CARD], key [SECRET], order 1234567890123456");
  EXPECT_EQ(redacted.redactions, 3);
}

}  // namespace
}  // namespace crossover::router
