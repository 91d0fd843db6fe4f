// The merges of a SentencePiece vocabulary, which keeps a score of each piece and no list of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::llm {

// In bytes. Every piece is looked up at each of its cuts, which costs the square of its length, so
// that a single long one in a downloaded file would keep a reader for days. SentencePiece makes
// none longer than 16 characters unless told to; the longest in use are runs of some thirty spaces
// of three bytes each.
inline constexpr size_t kMaxMergedPiece = 512;

// Best first; `types` are those of GgufTokenType. Ways of merging that give one piece stand in the
// order of transformers (convert_slow_tokenizer.py, generate_merges): the longer left part first,
// then the longer right part, in characters.
//
// InvalidArgument FORMAT_INVALID names the token: as many types and scores as tokens are needed,
// scores have to be finite (nothing else can be ordered) and pieces no longer than kMaxMergedPiece.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> MergesByScore(
    const std::vector<std::string>& tokens, const std::vector<int64_t>& types,
    const std::vector<float>& scores);

}  // namespace crossover::llm
