// Tokenizers of Hugging Face folders, and what GGUF makes of them.
#include "llm/tokenizer/to_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>

#include "common/status/error.h"
#include "common/testing/temp_dir.h"
#include "llm/tokenizer/byte_level.h"
#include "llm/tokenizer/gguf_vocabulary.h"
#include "llm/tokenizer/hf_files.h"
#include "llm/tokenizer/pretokenizer.h"
#include "llm/tokenizer/testing_parts.h"

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// 256 bytes, a merge, a hole, and two added tokens.
HfTokenizer ByteLevel() {
  HfTokenizer tokenizer;
  Tokenizer::Parts& parts = tokenizer.parts;
  for (int byte = 0; byte < 256; ++byte)
    parts.tokens.emplace_back(CharOfByte(static_cast<uint8_t>(byte)));
  for (const char* token : {"ab", "", "<|end|>", "<tool>"}) parts.tokens.emplace_back(token);
  parts.merges = {{"a", "b"}};
  parts.added = {{.text = "<|end|>", .id = 258, .special = true}, {.text = "<tool>", .id = 259}};
  parts.patterns = {patterns::kQwen2};
  parts.nfc = true;
  parts.eos_id = 258;
  tokenizer.pad_id = 258;
  tokenizer.chat_template = "{{ messages }}";
  return tokenizer;
}

class ToGgufTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const GgufFile>> Write(const HfTokenizer& tokenizer,
                                                        int64_t vocab_size) {
    bytes_.clear();
    const auto writer = GgufWriter::ToMemory("made", bytes_);
    const absl::Status status = AddTokenizer(tokenizer, vocab_size, "t.json", *writer);
    if (!status.ok()) return status;
    EXPECT_TRUE(writer->Finish().ok());
    return GgufFile::Parse(std::as_bytes(std::span(bytes_)), "made");
  }

  std::string Refusal(const HfTokenizer& tokenizer, int64_t vocab_size = 262) {
    const absl::Status status = Write(tokenizer, vocab_size).status();
    EXPECT_TRUE(HasReason(status, "MODEL_UNSUPPORTED")) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("t.json: "));
    return std::string(status.message());
  }

  std::string bytes_;
};

TEST_F(ToGgufTest, AByteLevelVocabularyIsReadBack) {
  const HfTokenizer tokenizer = ByteLevel();
  const auto file = Write(tokenizer, 262);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->GetString("tokenizer.ggml.pre").value(), "qwen2");
  EXPECT_EQ((*file)->GetUint("tokenizer.ggml.padding_token_id").value(), 258u);
  EXPECT_FALSE((*file)->Has("tokenizer.ggml.bos_token_id"));
  EXPECT_FALSE((*file)->GetBool("tokenizer.ggml.add_bos_token").value());
  EXPECT_EQ((*file)->GetString("tokenizer.chat_template").value(), "{{ messages }}");
  auto types = (*file)->GetInts("tokenizer.ggml.token_type").value();
  types.erase(types.begin(), types.begin() + 255);
  EXPECT_THAT(types,
              ElementsAre(GgufTokenType::kNormal, GgufTokenType::kNormal, GgufTokenType::kUnused,
                          GgufTokenType::kControl, GgufTokenType::kUserDefined,
                          GgufTokenType::kUnused, GgufTokenType::kUnused));
  const auto tokens = (*file)->GetStrings("tokenizer.ggml.tokens").value();
  EXPECT_EQ(tokens[257], "[PAD257]");
  EXPECT_EQ(tokens[261], "[PAD261]");
  const auto theirs = Tokenizer::FromGguf(**file);
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  const auto ours = Tokenizer::Create(tokenizer.parts).value();
  for (const char* text : {"ab<|end|>12 <tool>", "e\u0301\n\n  x", ""})
    EXPECT_EQ((*theirs)->Encode(text), ours->Encode(text)) << text;
  EXPECT_EQ((*theirs)->eos_id(), 258);
}

TEST_F(ToGgufTest, EveryNamedPreTokenizerKeepsItsName) {
  for (const NamedPreTokenizer& named : NamedPreTokenizers()) {
    HfTokenizer tokenizer = ByteLevel();
    tokenizer.parts.patterns = named.patterns;
    tokenizer.parts.nfc = named.nfc;
    tokenizer.parts.ignore_merges = named.ignore_merges;
    const auto file = Write(tokenizer, 260);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->GetString("tokenizer.ggml.pre").value(), named.name);
    // The key outweighs what the name implies.
    EXPECT_FALSE(Tokenizer::FromGguf(**file).value()->adds_bos());
  }
}

TEST_F(ToGgufTest, SentencePiecesMergesBecomeScoresAndAreReadBack) {
  HfTokenizer tokenizer{.parts = SentencePieceParts()};
  for (const auto prefix : {Tokenizer::Prefix::kEveryStretch, Tokenizer::Prefix::kNone}) {
    tokenizer.parts.prefix = prefix;
    const auto file = Write(tokenizer, 265);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto types = (*file)->GetInts("tokenizer.ggml.token_type").value();
    EXPECT_EQ(types[0], GgufTokenType::kUnknown);
    EXPECT_EQ(types[1], GgufTokenType::kControl);
    EXPECT_EQ(types[3], GgufTokenType::kByte);
    EXPECT_EQ(types[259], GgufTokenType::kNormal);
    EXPECT_EQ((*file)->GetUint("tokenizer.ggml.unknown_token_id").value(), 0u);
    const auto read = Tokenizer::PartsOfGguf(**file);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->merges, tokenizer.parts.merges);
    EXPECT_EQ(read->prefix, prefix);
    EXPECT_TRUE(read->adds_bos);
    const auto theirs = Tokenizer::FromGguf(**file).value();
    const auto ours = Tokenizer::Create(tokenizer.parts).value();
    for (const char* text : {"ab ab", " a</s>b", "\u00e9", "aab"})
      EXPECT_EQ(theirs->Encode(text), ours->Encode(text)) << text;
  }
}

// A conversation begins with a control token, so that its text never is the first stretch.
TEST_F(ToGgufTest, ASpaceBeforeTheFirstStretchIsNoneInConversations) {
  HfTokenizer tokenizer{.parts = SentencePieceParts()};
  tokenizer.parts.prefix = Tokenizer::Prefix::kFirstStretch;
  tokenizer.parts.prefix_unless_spaced = true;
  const auto file = Write(tokenizer, 264);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE((*file)->GetBool("tokenizer.ggml.add_space_prefix").value());
  EXPECT_EQ(Tokenizer::FromGguf(**file).value()->Encode("<s>ab ab</s>ab"),
            Tokenizer::Create(tokenizer.parts).value()->Encode("<s>ab ab</s>ab"));
}

TEST_F(ToGgufTest, WhatGgufCannotSayIsRefusedByName) {
  HfTokenizer tokenizer = ByteLevel();
  tokenizer.parts.nfc = false;
  EXPECT_THAT(Refusal(tokenizer), HasSubstr("without NFC"));
  tokenizer = ByteLevel();
  tokenizer.parts.patterns = {R"(\w+)"};
  EXPECT_THAT(Refusal(tokenizer), HasSubstr(R"(pre_tokenizer '\w+')"));
  tokenizer = ByteLevel();
  tokenizer.parts.added[1].lstrip = true;
  EXPECT_THAT(Refusal(tokenizer), HasSubstr("<tool>"));
  tokenizer = ByteLevel();
  tokenizer.parts.merges.emplace_back("a ", "b");
  EXPECT_THAT(Refusal(tokenizer), HasSubstr("merge 1"));
  const absl::Status many = Write(ByteLevel(), 259).status();
  EXPECT_TRUE(HasReason(many, "FORMAT_INVALID")) << many;
  EXPECT_THAT(std::string(many.message()), HasSubstr("260 tokens"));
}

// A file that our own reader refuses is not written.
TEST_F(ToGgufTest, APieceLongerThanTheReaderTakesIsRefused) {
  HfTokenizer tokenizer{.parts = SentencePieceParts()};
  tokenizer.parts.tokens.emplace_back(512, 'c');
  EXPECT_TRUE(Write(tokenizer, 265).ok());
  tokenizer.parts.tokens.back() += 'c';
  EXPECT_THAT(Refusal(tokenizer, 265), HasSubstr("token 264 has 513 bytes"));
}

TEST_F(ToGgufTest, MergesThatAreNoSentencePiecesAreRefused) {
  HfTokenizer tokenizer{.parts = SentencePieceParts()};
  Tokenizer::Parts& parts = tokenizer.parts;
  parts.tokens.emplace_back("\u2581a");  // Now "\u2581ab" has another half.
  parts.merges = {{"a", "b"}, {"\u2581", "a"}, {"\u2581", "ab"}};
  EXPECT_THAT(Refusal(tokenizer, 265), HasSubstr("are not all its halves"));
  parts.merges = {{"a", "b"}, {"\u2581", "ab"}, {"\u2581", "a"}, {"\u2581a", "b"}};
  EXPECT_THAT(Refusal(tokenizer, 265), HasSubstr("stand apart"));
  parts.merges = {{"a", "b"}, {"\u2581", "ab"}, {"\u2581a", "b"}, {"\u2581", "a"}};
  EXPECT_TRUE(Write(tokenizer, 265).ok());
  parts.prefix_unless_spaced = true;
  EXPECT_THAT(Refusal(tokenizer, 265), HasSubstr("'always'"));
  parts.prefix = Tokenizer::Prefix::kNone;
  parts.split_at_spaces = true;
  EXPECT_TRUE(Write(tokenizer, 265).ok());
  parts.tokens.emplace_back("\u2581\u2581");
  parts.merges.emplace_back("\u2581", "\u2581");
  EXPECT_THAT(Refusal(tokenizer, 266), HasSubstr("never merged"));
}

class HfTokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("tokenizer.json", TokenizerJson(ByteLevel().parts));
    Write("config.json", R"({"bos_token_id": 97, "eos_token_id": [98, 99], "pad_token_id": -1})");
  }

  void Write(std::string_view name, std::string_view text) {
    crossover::testing::WriteFile(folder_ / name, text);
  }

  std::string Refusal() {
    const absl::Status status = ReadHfTokenizer(folder_.path()).status();
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  }

  crossover::testing::TempDir folder_;
};

TEST_F(HfTokenizerTest, SpecialTokensAreThoseOfTheTokenizersConfigAndElseTheModels) {
  auto tokenizer = ReadHfTokenizer(folder_.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(tokenizer->parts.bos_id, 97);
  EXPECT_EQ(tokenizer->parts.eos_id, 98);
  EXPECT_EQ(tokenizer->pad_id, std::nullopt);
  EXPECT_FALSE(tokenizer->parts.adds_bos);
  EXPECT_EQ(tokenizer->chat_template, "");
  Write("tokenizer_config.json",
        R"({"bos_token": null, "eos_token": {"content": "<|end|>"}, "pad_token": "<pad>",
            "add_bos_token": true, "add_eos_token": true,
            "chat_template": [{"name": "tool_use", "template": "t"},
                              {"name": "default", "template": "d"}]})");
  tokenizer = ReadHfTokenizer(folder_.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(tokenizer->parts.bos_id, 97);
  EXPECT_EQ(tokenizer->parts.eos_id, 258);
  EXPECT_EQ(tokenizer->pad_id, std::nullopt);
  EXPECT_TRUE(tokenizer->parts.adds_bos);
  EXPECT_TRUE(tokenizer->parts.adds_eos);
  EXPECT_EQ(tokenizer->chat_template, "d");
  Write("chat_template.jinja", "j");
  EXPECT_EQ(ReadHfTokenizer(folder_.path())->chat_template, "j");
}

TEST_F(HfTokenizerTest, MistakesAreNamedWithFileAndKey) {
  Write("tokenizer_config.json", R"({"eos_token": "<eos>"})");
  EXPECT_THAT(Refusal(), HasSubstr("tokenizer_config.json: eos_token '<eos>'"));
  Write("tokenizer_config.json", R"({"add_bos_token": "yes"})");
  EXPECT_THAT(Refusal(), HasSubstr("add_bos_token is not"));
  Write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "t"}]})");
  EXPECT_THAT(Refusal(), HasSubstr("named 'default'"));
  Write("tokenizer_config.json", "{}");
  Write("config.json", R"({"eos_token_id": 260})");
  EXPECT_THAT(Refusal(), HasSubstr("config.json: eos_token_id is 260"));
  Tokenizer::Parts adding = ByteLevel().parts;
  adding.adds_bos = true;
  adding.bos_id = 258;
  Write("tokenizer.json", TokenizerJson(adding));
  Write("config.json", R"({"bos_token_id": 97})");
  EXPECT_THAT(Refusal(), HasSubstr("not the bos_token"));
  std::filesystem::remove(folder_ / "tokenizer.json");
  EXPECT_TRUE(HasReason(ReadHfTokenizer(folder_.path()).status(), "FILE_MISSING"));
}

}  // namespace
}  // namespace crossover::llm
