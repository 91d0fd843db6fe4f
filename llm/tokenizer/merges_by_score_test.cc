#include "llm/tokenizer/merges_by_score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <span>

#include "common/status/error.h"
#include "llm/formats/gguf_writer.h"
#include "llm/tokenizer/gguf_vocabulary.h"
#include "llm/tokenizer/testing_parts.h"

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int64_t kPlain = GgufTokenType::kNormal;

std::string RefusalOfMerges(const std::vector<std::string>& tokens,
                            const std::vector<float>& scores) {
  const auto merges =
      MergesByScore(tokens, std::vector<int64_t>(tokens.size(), kPlain), scores).status();
  EXPECT_TRUE(HasReason(merges, "FORMAT_INVALID")) << merges;
  return std::string(merges.message());
}

TEST(MergesByScoreTest, TheBestScoreStandsFirstAndThenTheLongerLeftPart) {
  const auto merges = MergesByScore(
      {"a", "b", "ab", "bb", "abb", "\u00e9", "\u00e9b", "<a>b"},
      {kPlain, kPlain, kPlain, kPlain, kPlain, kPlain, kPlain, GgufTokenType::kControl},
      {0, 0, -3, -2, -1, 0, -2, 0});
  ASSERT_TRUE(merges.ok()) << merges.status();
  EXPECT_THAT(*merges, ElementsAre(Pair("ab", "b"), Pair("a", "bb"), Pair("b", "b"),
                                   Pair("\u00e9", "b"), Pair("a", "b")));
}

TEST(MergesByScoreTest, ControlTokensAndBytesAreNotMerged) {
  const auto merges =
      MergesByScore({"<", "s>", "<s>"}, {kPlain, kPlain, GgufTokenType::kControl}, {0, 0, 0});
  ASSERT_TRUE(merges.ok()) << merges.status();
  EXPECT_THAT(*merges, IsEmpty());
}

// Nothing is ordered before or after what is no number.
TEST(MergesByScoreTest, ScoresThatAreNotFiniteAreRefused) {
  for (const float score :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    EXPECT_THAT(RefusalOfMerges({"a", "b", "ab"}, {0, 0, score}), HasSubstr("tokens[2]"));
  }
}

TEST(MergesByScoreTest, APieceMayHaveSoManyBytesAndNotOneMore) {
  const std::string longest(kMaxMergedPiece, 'a');
  EXPECT_TRUE(MergesByScore({"a", longest}, {kPlain, kPlain}, {0, 0}).ok());
  EXPECT_THAT(RefusalOfMerges({"a", longest + "a"}, {0, 0}), HasSubstr("tokens[1] has 513 bytes"));
  // A template's own token is searched for and not merged.
  EXPECT_TRUE(MergesByScore({longest + "a"}, {GgufTokenType::kControl}, {0}).ok());
}

TEST(MergesByScoreTest, EveryTokenNeedsAScoreAndAType) {
  EXPECT_THAT(RefusalOfMerges({"a", "b"}, {0}), HasSubstr("1 entries"));
  EXPECT_FALSE(MergesByScore({"a", "b"}, {kPlain}, {0, 0}).ok());
}

// Without the limit this test does not end.
TEST(MergesByScoreTest, AFileWithOneVeryLongPieceIsRefusedAtOnce) {
  Tokenizer::Parts parts = SentencePieceParts();
  parts.tokens.emplace_back(size_t{1} << 22, 'a');
  std::string bytes;
  const auto writer = GgufWriter::ToMemory("made", bytes);
  ASSERT_TRUE(writer->AddString("tokenizer.ggml.model", "llama").ok());
  ASSERT_TRUE(writer->AddStrings("tokenizer.ggml.tokens", parts.tokens).ok());
  ASSERT_TRUE(writer
                  ->AddInts("tokenizer.ggml.token_type",
                            std::vector<int32_t>(parts.tokens.size(), GgufTokenType::kNormal))
                  .ok());
  ASSERT_TRUE(
      writer->AddFloats("tokenizer.ggml.scores", std::vector<float>(parts.tokens.size())).ok());
  ASSERT_TRUE(writer->Finish().ok());
  const auto file = GgufFile::Parse(std::as_bytes(std::span(bytes)), "made");
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status refusal = Tokenizer::FromGguf(**file).status();
  EXPECT_TRUE(HasReason(refusal, "FORMAT_INVALID")) << refusal;
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("made: tokenizer.ggml.tokens[264] has "));
}

}  // namespace
}  // namespace crossover::llm
