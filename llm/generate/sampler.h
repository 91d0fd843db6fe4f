// Chooses the next token from a row of logits. No torch; pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llm/generate/engine.h"
#include "llm/generate/penalties.h"

namespace crossover::llm {

// `logits` is scratch: penalties and biases are worked into it. Minus infinity is a token that may
// not come; at least one may. `position` counts the tokens generated so far;
// together with sampling.seed it decides the random number. Log-probabilities are of the model's
// own distribution, before penalties, bias, temperature and filters.
GeneratedToken Sample(const Sampling& sampling, int64_t position, std::span<float> logits,
                      const TokenHistory& history = {});

// The most likely id, the lowest on a tie: what greedy decoding takes.
int32_t MostLikely(std::span<const float> logits);

// Natural log of the softmax denominator.
double LogSumExp(std::span<const float> logits);

// The `n` most likely ids, most likely first, lower id first on ties; fewer if fewer may come.
std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int n);

// InvalidArgument("BAD_SAMPLING") with the field that is out of range.
absl::Status CheckSampling(const Sampling& sampling, int64_t vocab, bool has_text);

}  // namespace crossover::llm
