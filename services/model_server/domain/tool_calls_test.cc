#include "services/model_server/domain/tool_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace crossover::inference {
namespace {

struct Split {
  std::string content;
  std::vector<std::string> calls;  // "name arguments"
};

// Splits the text in pieces of `size` bytes.
Split SplitBy(std::string_view text, size_t size) {
  ToolCallSplitter splitter;
  Split out;
  for (size_t i = 0; i < text.size(); i += size) out.content += splitter.Push(text.substr(i, size));
  const ToolCallSplitter::Rest rest = splitter.Finish();
  out.content += rest.content;
  for (const llm::ToolCall& call : rest.calls)
    out.calls.push_back(absl::StrCat(call.name, " ", call.arguments));
  return out;
}

void Expect(std::string_view text, const std::string& content,
            const std::vector<std::string>& calls) {
  for (const size_t size : {size_t{1}, size_t{3}, size_t{7}, size_t{1000}}) {
    const Split split = SplitBy(text, size);
    EXPECT_EQ(split.content, content) << text << " by " << size;
    EXPECT_EQ(split.calls, calls) << text << " by " << size;
  }
}

TEST(ToolCallSplitterTest, CallsAreTakenOutOfTheContent) {
  Expect("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": [2]}}\n</tool_call>", "",
         {R"(f {"b":1,"a":[2]})"});
  Expect(
      "Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n"
      "{\"name\": \"g\"}\n</tool_call>",
      "Let me see.", {"f {}", "g {}"});
  Expect(R"(<tool_call>{"name":"f","arguments":"{\"x\":1}"})", "", {R"(f {"x":1})"});
}

TEST(ToolCallSplitterTest, TextWithoutCallsStaysAsItIs) {
  for (const char* text : {"plain", "a < b and <tool", "ends in space \n", "<tool_cal>", "", "  <"})
    Expect(text, text, {});
}

TEST(ToolCallSplitterTest, WhatIsNoSoundCallStaysContent) {
  for (const char* text :
       {"<tool_call>{\"name\": \"f\", \"argum", "x\n<tool_call>\n[1]\n</tool_call>",
        "<tool_call>{\"name\": 3}</tool_call>", "<tool_call>{\"name\":\"f\"}</tool_call> and more",
        "<tool_call>"})
    Expect(text, text, {});
}

TEST(ToolCallSplitterTest, TextIsHandedOnAsSoonAsItIsCertain) {
  ToolCallSplitter splitter;
  EXPECT_EQ(splitter.Push("one two "), "one two");
  EXPECT_EQ(splitter.Push("three<to"), " three");
  EXPECT_EQ(splitter.Push("ol bar"), "<tool bar");
  EXPECT_EQ(splitter.Finish().content, "");
}

}  // namespace
}  // namespace crossover::inference
