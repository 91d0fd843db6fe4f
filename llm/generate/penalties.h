// Makes tokens that were there before less likely. No torch; pure functions.
#pragma once

#include <cstdint>
#include <span>

#include "llm/generate/engine.h"

namespace crossover::llm {

// What stands before the next token.
struct TokenHistory {
  std::span<const int32_t> prompt;
  std::span<const GeneratedToken> answer;
  std::span<const GeneratedToken> fresh;  // What the answer goes on with.
};

bool HasPenalties(const Sampling& sampling);

// Presence and frequency look at the answer: logit -= presence + frequency * count, for tokens with
// a count over 0 (OpenAI's API reference). Repetition looks at prompt and answer: a logit over 0 is
// divided by it and one under 0 multiplied (CTRL, arXiv:1909.05858, as transformers and vLLM have
// it). Ids outside the logits are passed over.
void ApplyPenalties(const Sampling& sampling, const TokenHistory& history, std::span<float> logits);

}  // namespace crossover::llm
