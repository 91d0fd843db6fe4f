#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/testing/matchers.h"
#include "services/model_server/transport/openai_completions.h"
#include "services/model_server/transport/openai_json.h"

namespace crossover::inference {
namespace {

std::string ChatWithMix(const std::string& mix) {
  return absl::StrCat(R"({"model":"m","messages":[{"role":"user","content":"hi"}],"adapter_mix":)",
                      mix, "}");
}

TEST(AdapterMixTest, IsReadInBothContracts) {
  const std::string mix = R"([{"digest":"a","weight":0.25},{"digest":"b","weight":-1}])";
  ASSERT_OK_AND_ASSIGN(const ChatRequest chat, ParseChatRequest(ChatWithMix(mix)));
  ASSERT_EQ(chat.command.mix.size(), 2u);
  EXPECT_EQ(chat.command.mix[0].model, "a");
  EXPECT_EQ(chat.command.mix[1].weight, -1);
  ASSERT_OK_AND_ASSIGN(const CompletionsRequest completions,
                       ParseCompletionsRequest(absl::StrCat(
                           R"({"model":"m","prompt":["x","y"],"adapter_mix":)", mix, "}")));
  EXPECT_EQ(completions.commands[1].mix.size(), 2u);
}

TEST(AdapterMixTest, MistakesNameTheirField) {
  const auto field = [](const absl::Status& status) {
    EXPECT_THAT(status, HasReasonThat("FIELD_INVALID"));
    return DetailOf(status).violations.at(0).field;
  };
  const auto mistake = [&](const std::string& mix) {
    return field(ParseChatRequest(ChatWithMix(mix)).status());
  };
  EXPECT_EQ(mistake("3"), "adapter_mix");
  EXPECT_EQ(mistake("[3]"), "adapter_mix[0]");
  EXPECT_EQ(mistake(R"([{"weight":1}])"), "adapter_mix[0].digest");
  EXPECT_EQ(mistake(R"([{"digest":"a","weight":1},{"digest":"b"}])"), "adapter_mix[1].weight");
  EXPECT_EQ(field(ParseCompletionsRequest(R"({"model":"m","prompt":"x","echo":true,"logprobs":1,
                      "adapter_mix":[{"digest":"a","weight":1}]})")
                      .status()),
            "adapter_mix");
}

}  // namespace
}  // namespace crossover::inference
