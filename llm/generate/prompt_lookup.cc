#include "llm/generate/prompt_lookup.h"

#include <algorithm>

namespace crossover::llm {

namespace {

constexpr int64_t kLongestEnding = 4;
constexpr int64_t kShortestEnding = 2;
constexpr int64_t kMostGuesses = 16;
// After a guess of one token that was wrong.
constexpr int64_t kPause = 8;

}  // namespace

int64_t DraftLength::Next(int64_t limit) {
  if (pause_ > 0) {
    --pause_;
    return 0;
  }
  return std::min(length_, limit);
}

void DraftLength::Learn(int64_t guessed, int64_t right) {
  if (guessed == 0) return;
  if (right == guessed) {
    length_ = std::min(2 * length_, kMostGuesses);
  } else if (right > 0) {
    length_ = right + 1;
  } else if (length_ > 1) {
    length_ /= 2;
  } else {
    pause_ = kPause;
  }
}

std::vector<int32_t> Lookup(std::span<const int32_t> tokens, int64_t count) {
  const int64_t size = static_cast<int64_t>(tokens.size());
  int64_t best = 0, best_length = kShortestEnding - 1;
  // `end` is one past an earlier occurrence; the last one wins among equally long ones.
  for (int64_t end = size - 1; end >= kShortestEnding && best_length < kLongestEnding; --end) {
    int64_t length = 0;
    while (length < kLongestEnding && length < end &&
           tokens[end - 1 - length] == tokens[size - 1 - length])
      ++length;
    if (length <= best_length) continue;
    best_length = length;
    best = end;
  }
  if (best == 0) return {};
  const auto first = tokens.begin() + best;
  return {first, first + std::min(count, size - best)};
}

}  // namespace crossover::llm
