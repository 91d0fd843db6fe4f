// Guesses what a sequence says next from what it has said before (prompt lookup decoding, A. Saxena
// 2023; as assistant-free speculation in transformers and vLLM). No torch; pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace crossover::llm {

// How many tokens to guess for one sequence, by how well it went so far.
class DraftLength {
 public:
  // At most `limit`; 0: not now.
  int64_t Next(int64_t limit);
  // So many were guessed, so many were right.
  void Learn(int64_t guessed, int64_t right);

 private:
  int64_t length_ = 2;
  int64_t pause_ = 0;  // Steps without a guess.
};

// The tokens, at most `count`, that followed the last occurrence of what `tokens` end with: of the
// longest ending of up to 4 tokens, at least 2, that occurs before. Empty if there is none.
std::vector<int32_t> Lookup(std::span<const int32_t> tokens, int64_t count);

}  // namespace crossover::llm
