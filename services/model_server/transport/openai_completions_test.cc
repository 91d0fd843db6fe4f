#include "services/model_server/transport/openai_completions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "services/model_server/domain/fake_engine.h"

namespace crossover::inference {
namespace {

using Json = nlohmann::json;

TEST(ParseCompletionsRequestTest, ReadsEveryFormOfPrompt) {
  ASSERT_OK_AND_ASSIGN(const CompletionsRequest request,
                       ParseCompletionsRequest(R"({"model":"m","prompt":["a",[5,6]],"n":2,
                         "temperature":0,"stop":["x"],"logprobs":3,"echo":true,"stream":true,
                         "stream_options":{"include_usage":true},"best_of":1,"suffix":null})"));
  ASSERT_EQ(request.commands.size(), 2u);
  EXPECT_EQ(std::get<std::string>(request.commands[0].prompt), "a");
  EXPECT_EQ(std::get<std::vector<int32_t>>(request.commands[1].prompt)[1], 6);
  EXPECT_EQ(request.commands[1].sampling.temperature, 0);
  EXPECT_EQ(request.commands[1].sampling.max_tokens, 16);
  EXPECT_EQ(request.choices(), 4);
  EXPECT_EQ(request.logprobs(), 3);
  EXPECT_TRUE(request.include_usage);
  EXPECT_TRUE(request.scores_prompts());
  const ScoreCommand scores = request.PromptScores();
  EXPECT_EQ(scores.top_logprobs, 3);
  EXPECT_TRUE(scores.items[1].prompt_itself);
}

TEST(CompletionsWriterTest, PartsOfCharactersAreWrittenAsBytesAndCountAsOneCharacter) {
  ASSERT_OK_AND_ASSIGN(const CompletionsRequest request,
                       ParseCompletionsRequest(R"({"model":"m","prompt":"a","logprobs":0})"));
  const auto tokenizer = ByteTokenizer();
  const CompletionsWriter writer({.id = "cmpl-1", .model = "m"}, request, {}, *tokenizer);
  const Json whole = writer.Whole({{.text = "é!",
                                    .tokens = {{0xc3, -1, {}}, {0xa9, -1, {}}, {'!', -1, {}}},
                                    .finish_reason = "stop"}},
                                  {});
  const Json& logprobs = whole["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json({"bytes:\\xc3", "bytes:\\xa9", "!"}));
  EXPECT_EQ(logprobs["text_offset"], Json({0, 1, 1}));
}

}  // namespace
}  // namespace crossover::inference
