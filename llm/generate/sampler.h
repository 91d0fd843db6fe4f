// Chooses the next token from a row of logits. No torch; pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llm/generate/engine.h"

namespace crossover::llm {

// `logits` is scratch: biases are added to it. `position` counts the tokens generated so far;
// together with sampling.seed it decides the random number. Log-probabilities are of the model's
// own distribution, before bias, temperature and filters.
GeneratedToken Sample(const Sampling& sampling, int64_t position, std::span<float> logits);

// The most likely id, the lowest on a tie: what greedy decoding takes.
int32_t MostLikely(std::span<const float> logits);

// Natural log of the softmax denominator.
double LogSumExp(std::span<const float> logits);

// The `n` most likely ids, most likely first, lower id first on ties.
std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int n);

// InvalidArgument("BAD_SAMPLING") with the field that is out of range.
absl::Status CheckSampling(const Sampling& sampling, int64_t vocab, bool has_text);

}  // namespace crossover::llm
