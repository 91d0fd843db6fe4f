#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "common/testing/matchers.h"
#include "services/model_server/transport/openai_completions.h"
#include "services/model_server/transport/openai_json.h"

namespace crossover::inference {
namespace {

std::string ChatWithField(const std::string& member) {
  return absl::StrCat(R"({"model":"m","messages":[{"role":"user","content":"hi"}],)", member, "}");
}

TEST(UnservedFieldsTest, WhatWouldChangeTheAnswerIsRefusedByName) {
  const std::map<std::string, std::string> unserved = {
      {"min_p", "0.1"},          {"min_tokens", "5"},
      {"ignore_eos", "true"},    {"stop_token_ids", "[2]"},
      {"best_of", "2"},          {"functions", R"([{"name":"f"}])"},
      {"suffix", R"("x")"},      {"function_call", R"({"name":"f"})"},
      {"bad_words", R"(["x"])"}, {"chat_template_kwargs", R"({"enable_thinking":false})"}};
  for (const auto& [name, value] : unserved) {
    const std::string member = absl::StrCat("\"", name, "\":", value);
    for (const absl::Status& status :
         {ParseChatRequest(ChatWithField(member)).status(),
          ParseCompletionsRequest(absl::StrCat(R"({"model":"m","prompt":"x",)", member, "}"))
              .status()}) {
      EXPECT_THAT(status, HasReasonThat("FIELD_INVALID")) << name;
      const auto violations = DetailOf(status).violations;
      ASSERT_EQ(violations.size(), 1u) << name;
      EXPECT_EQ(violations[0].field, name);
    }
  }
}

TEST(UnservedFieldsTest, WhatAsksForTheUsualAndWhatIsUnknownIsTaken) {
  for (const char* member :
       {R"("min_p":0)", R"("min_p":0.0)", R"("min_tokens":null)", R"("ignore_eos":false)",
        R"("stop_token_ids":[])", R"("functions":[])", R"("function_call":"auto")",
        R"("modalities":["text"])", R"("skip_special_tokens":true)", R"("priority":3)",
        R"("user":"u")", R"("reasoning_effort":"low")", R"("nobody_knows":{"a":1})"}) {
    EXPECT_OK(ParseChatRequest(ChatWithField(member)).status()) << member;
  }
}

TEST(UnservedFieldsTest, OneCallOnlyIsServedWhereTheAnswerIsOneCall) {
  const std::string one = R"("parallel_tool_calls":false)";
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}],)";
  EXPECT_OK(ParseChatRequest(ChatWithField(one)));
  EXPECT_OK(ParseChatRequest(ChatWithField(tools + R"("tool_choice":"required",)" + one)));
  EXPECT_OK(ParseChatRequest(ChatWithField(tools + R"("tool_choice":"none",)" + one)));
  const absl::Status several = ParseChatRequest(ChatWithField(tools + one)).status();
  EXPECT_THAT(several, HasReasonThat("FIELD_INVALID"));
  EXPECT_EQ(DetailOf(several).violations.at(0).field, "parallel_tool_calls");
}

TEST(UnservedFieldsTest, ACacheSaltIsServed) {
  ASSERT_OK_AND_ASSIGN(const ChatRequest chat,
                       ParseChatRequest(ChatWithField(R"("cache_salt":"s")")));
  EXPECT_EQ(chat.command.cache_salt, "s");
  ASSERT_OK_AND_ASSIGN(
      const CompletionsRequest completions,
      ParseCompletionsRequest(
          R"({"model":"m","prompt":"x","echo":true,"logprobs":1,"cache_salt":"s"})"));
  EXPECT_EQ(completions.PromptScores().cache_salt, "s");
}

}  // namespace
}  // namespace crossover::inference
