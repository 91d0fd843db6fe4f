// Which call a tool's result belongs to, as templates see it.
#include "llm/chat/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "llm/chat/chat_template.h"
#include "llm/tokenizer/testing_folder.h"

namespace crossover::llm {
namespace {

using ::testing::HasSubstr;

constexpr char kWritesIds[] =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}({{ call.id }}){% endfor %}"
    "{% if message.role == 'tool' %}[{{ message.tool_call_id }}]{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

std::shared_ptr<const ChatTemplate> TemplateThatWritesIds() {
  return ChatTemplate::FromText(kWritesIds, Tokenizer::Create(SmallTokenizer()).value()).value();
}

ChatMessage Result(std::string id, std::string content) {
  return {.role = "tool", .content = std::move(content), .tool_call_id = std::move(id)};
}

const ChatMessage kTwoCalls{.role = "assistant",
                            .tool_calls = {{"f", "{}", "x"}, {"g", "{}", "y"}}};

TEST(ConversationTest, ResultsAreRenderedInTheOrderOfTheCallsThatTheyName) {
  const auto chat = TemplateThatWritesIds();
  ASSERT_OK_AND_ASSIGN(
      const std::string text,
      chat->Render({kTwoCalls, Result("y", "of g"), Result("x", "of f")}, {}, false));
  EXPECT_THAT(text, HasSubstr("(000000000)(000000001)"));
  EXPECT_THAT(text, HasSubstr("of f[000000000]<|im_end|>\n<|im_start|>tool\nof g[000000001]"));
  // The same as when the client kept the order, or named no calls.
  EXPECT_EQ(text,
            chat->Render({kTwoCalls, Result("x", "of f"), Result("y", "of g")}, {}, false).value());
  EXPECT_EQ(text,
            chat->Render({kTwoCalls, Result("", "of f"), Result("", "of g")}, {}, false).value());
}

TEST(ConversationTest, ACallWithoutAResultShiftsNoOther) {
  ASSERT_OK_AND_ASSIGN(const std::string text, TemplateThatWritesIds()->Render(
                                                   {kTwoCalls, Result("y", "of g")}, {}, false));
  EXPECT_THAT(text, HasSubstr("of g[000000001]"));
}

TEST(ConversationTest, AResultOfNoCallIsNamed) {
  const absl::Status status =
      TemplateThatWritesIds()->Render({kTwoCalls, Result("z", "of h")}, {}, false).status();
  EXPECT_THAT(status, HasReasonThat("FIELD_INVALID"));
  EXPECT_EQ(DetailOf(status).violations.at(0).field, "messages[1].tool_call_id");
  EXPECT_THAT(std::string(status.message()), HasSubstr("is 'z'"));
  // Calls that come later are none that it could answer.
  EXPECT_FALSE(TemplateThatWritesIds()->Render({Result("x", "of f"), kTwoCalls}, {}, false).ok());
}

}  // namespace
}  // namespace crossover::llm
