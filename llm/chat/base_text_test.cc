#include "llm/chat/base_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/status/error.h"
#include "common/testing/temp_dir.h"
#include "llm/formats/gguf_config.h"
#include "llm/tokenizer/base_metadata.h"
#include "llm/tokenizer/testing_folder.h"
#include "llm/tokenizer/to_gguf.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class BaseTextTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(WriteSmallFolder(base_, SmallFolderModel()).ok()); }

  nlohmann::json Json(const char* name) const {
    return nlohmann::json::parse(ReadTextFile(base_ / name).value());
  }
  void Write(const char* name, const std::string& text) const {
    crossover::testing::WriteFile(base_ / name, text);
  }

  crossover::testing::TempDir folder_;
  const fs::path base_ = folder_ / "base";
};

TEST_F(BaseTextTest, AFolderAndItsGgufFileSayTheSame) {
  const auto add = [](GgufWriter& writer) {
    const HfTokenizer tokenizer{SmallTokenizer(), {}, kSmallTemplate};
    return AddTokenizer(tokenizer, 259, "tokenizer.json", writer);
  };
  const fs::path file = folder_ / "base.gguf";
  ASSERT_TRUE(WriteSmallModel(file, SmallFolderModel(), {}, add).ok());
  const auto of_file = ReadBaseText(file), of_folder = ReadBaseText(base_);
  ASSERT_TRUE(of_file.ok()) << of_file.status();
  ASSERT_TRUE(of_folder.ok()) << of_folder.status();
  EXPECT_EQ(of_folder->config.hidden_size, of_file->config.hidden_size);
  EXPECT_EQ(of_folder->config.vocab_size, of_file->config.vocab_size);
  EXPECT_EQ(of_folder->jinja, of_file->jinja);
  EXPECT_TRUE(of_folder->own_template);
  for (const char* text : {"ab 12 <|im_end|>", "\u00e9\n\n  x", ""})
    EXPECT_EQ(of_folder->tokenizer->Encode(text), of_file->tokenizer->Encode(text)) << text;
  const std::vector<ChatMessage> messages = {{.role = "user", .content = "ab?"}};
  const auto ours = of_folder->Chat(), theirs = of_file->Chat();
  ASSERT_TRUE(ours.ok()) << ours.status();
  EXPECT_EQ((*ours)->Prompt(messages).value(), (*theirs)->Prompt(messages).value());
  EXPECT_EQ((*ours)->stop_ids(), (*theirs)->stop_ids());
}

TEST_F(BaseTextTest, ATokenizerThatGgufCannotSayIsReadAllTheSame) {
  nlohmann::json tokenizer = Json("tokenizer.json");
  tokenizer["added_tokens"][1]["rstrip"] = true;
  Write("tokenizer.json", tokenizer.dump());
  EXPECT_TRUE(HasReason(OpenMetadata(base_).status(), "MODEL_UNSUPPORTED"));
  const auto text = ReadBaseText(base_);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_TRUE(text->Chat().ok());
}

TEST_F(BaseTextTest, WithoutATemplateAFolderIsChatMlOrSaysThatItHasNone) {
  ASSERT_TRUE(WriteSmallFolder(base_, SmallFolderModel(), 1 << 30, "").ok());
  const auto text = ReadBaseText(base_);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_FALSE(text->own_template);
  EXPECT_THAT(text->jinja, HasSubstr("<|im_start|>"));
  EXPECT_TRUE(text->Chat().ok());
  Tokenizer::Parts parts = SmallTokenizer();
  parts.tokens[256] = parts.added[0].text = "<begin>";
  Write("tokenizer.json", TokenizerJson(parts));
  const absl::Status none = ReadBaseText(base_).status();
  EXPECT_TRUE(HasReason(none, "MODEL_UNSUPPORTED")) << none;
  EXPECT_THAT(std::string(none.message()),
              AllOf(HasSubstr(base_.string()), HasSubstr("chat_template.jinja")));
}

TEST_F(BaseTextTest, WhatDoesNotFitIsNamed) {
  nlohmann::json config = Json("config.json");
  config["vocab_size"] = 258;
  Write("config.json", config.dump());
  EXPECT_THAT(std::string(ReadBaseText(base_).status().message()),
              AllOf(HasSubstr("tokenizer.json"), HasSubstr("259"), HasSubstr("258")));
  config["architectures"] = {"GPT2LMHeadModel"};
  Write("config.json", config.dump());
  EXPECT_THAT(std::string(ReadBaseText(base_).status().message()), HasSubstr("GPT2LMHeadModel"));
  EXPECT_TRUE(HasReason(ReadBaseText(folder_ / "nowhere").status(), "FILE_MISSING"));
}

}  // namespace
}  // namespace crossover::llm
