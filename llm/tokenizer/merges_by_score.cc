#include "llm/tokenizer/merges_by_score.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/tokenizer/gguf_vocabulary.h"

namespace crossover::llm {
namespace {

// Fifteen times those of Gemma, whose vocabulary is the largest in use. A file of overlapping
// pieces has some hundred merges for each of its bytes' worth of pieces, which would not fit in
// memory.
constexpr size_t kMaxScoredMerges = size_t{1} << 23;

struct ScoredMerge {
  float score;
  int32_t left_characters, right_characters;
  std::string_view left, right;

  bool operator<(const ScoredMerge& other) const {
    return std::tie(other.score, other.left_characters, other.right_characters) <
           std::tie(score, left_characters, right_characters);
  }
};

absl::Status InvalidToken(size_t id, std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat("tokenizer.ggml.tokens[", id, "] ") + std::string(message));
}

int32_t Characters(std::string_view text) {
  return static_cast<int32_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

absl::Status CheckSizes(size_t tokens, size_t types, size_t scores) {
  if (types == tokens && scores == tokens) return absl::OkStatus();
  return Error(
      absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
      absl::StrCat("tokenizer.ggml.scores has ", scores, " entries and tokenizer.ggml.token_type ",
                   types, " for ", tokens, " tokens"));
}

}  // namespace

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> MergesByScore(
    const std::vector<std::string>& tokens, const std::vector<int64_t>& types,
    const std::vector<float>& scores) {
  RETURN_IF_ERROR(CheckSizes(tokens.size(), types.size(), scores.size()));
  const std::unordered_set<std::string_view> known(tokens.begin(), tokens.end());
  std::vector<ScoredMerge> merges;
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view piece = tokens[id];
    if (!std::isfinite(scores[id]))
      return InvalidToken(id, absl::StrCat("has the score ", scores[id], ", which is not finite"));
    // Text that people write never becomes a control token by merging.
    if (types[id] != GgufTokenType::kNormal && types[id] != GgufTokenType::kUserDefined) continue;
    if (piece.size() > kMaxMergedPiece) {
      return InvalidToken(
          id, absl::StrCat("has ", piece.size(), " bytes; pieces have at most ", kMaxMergedPiece));
    }
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const std::string_view left = piece.substr(0, cut), right = piece.substr(cut);
      if (!known.contains(left) || !known.contains(right)) continue;
      if (merges.size() == kMaxScoredMerges)
        return InvalidToken(id, absl::StrCat("is merged in one way more than the ",
                                             kMaxScoredMerges, " that a vocabulary may have"));
      merges.push_back({scores[id], Characters(left), Characters(right), left, right});
    }
  }
  std::stable_sort(merges.begin(), merges.end());
  std::vector<std::pair<std::string, std::string>> ordered;
  ordered.reserve(merges.size());
  for (const ScoredMerge& merge : merges) ordered.emplace_back(merge.left, merge.right);
  return ordered;
}

}  // namespace crossover::llm
