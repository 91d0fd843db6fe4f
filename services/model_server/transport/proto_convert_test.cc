#include "services/model_server/transport/proto_convert.h"

#include <gtest/gtest.h>

#include "common/testing/matchers.h"

namespace crossover::inference {
namespace {

TEST(ProtoConvertTest, ErrorsAboutAPromptWillNameItsField) {
  pb::GenerateRequest request;
  request.set_model("m");
  request.set_text("x");
  EXPECT_EQ(ToCommand(request)->prompt_field, "text");
  request.mutable_tokens()->add_ids(1);
  EXPECT_EQ(ToCommand(request)->prompt_field, "tokens.ids");
  request.mutable_chat()->add_messages()->set_role("user");
  EXPECT_EQ(ToCommand(request)->prompt_field, "chat.messages");
  pb::ScoreRequest score;
  score.set_model("m");
  score.add_items()->set_text("x");
  EXPECT_EQ(ToCommand(score)->items[0].prompt_field, "items[0].text");
}

TEST(ProtoConvertTest, CallsAndResultsOfToolsKeepTheirIds) {
  pb::GenerateRequest::Chat chat;
  auto* call = chat.add_messages();
  call->set_role("assistant");
  call->add_tool_calls()->set_id("x");
  auto* result = chat.add_messages();
  result->set_role("tool");
  result->set_tool_call_id("x");
  ASSERT_OK_AND_ASSIGN(const ChatPrompt prompt, ToChat(chat, ""));
  EXPECT_EQ(prompt.messages[0].tool_calls[0].id, "x");
  EXPECT_EQ(prompt.messages[1].tool_call_id, "x");
}

}  // namespace
}  // namespace crossover::inference
