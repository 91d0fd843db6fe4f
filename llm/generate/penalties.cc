#include "llm/generate/penalties.h"

#include <algorithm>
#include <vector>

namespace crossover::llm {

bool HasPenalties(const Sampling& sampling) {
  return sampling.repetition_penalty != 1 || sampling.presence_penalty != 0 ||
         sampling.frequency_penalty != 0;
}

void ApplyPenalties(const Sampling& sampling, const TokenHistory& history,
                    std::span<float> logits) {
  // Each token's number in the answer; -1: in the prompt alone.
  std::vector<int32_t> counts(logits.size(), 0);
  std::vector<int32_t> seen;
  const auto known = [&](int32_t id) { return id >= 0 && static_cast<size_t>(id) < logits.size(); };
  for (const auto& tokens : {history.answer, history.fresh}) {
    for (const GeneratedToken& token : tokens) {
      if (known(token.id) && counts[token.id]++ == 0) seen.push_back(token.id);
    }
  }
  if (sampling.repetition_penalty != 1) {
    for (const int32_t id : history.prompt) {
      if (!known(id) || counts[id] != 0) continue;
      counts[id] = -1;
      seen.push_back(id);
    }
  }
  const auto repetition = static_cast<float>(sampling.repetition_penalty);
  for (const int32_t id : seen) {
    float& logit = logits[id];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    if (counts[id] < 1) continue;
    logit -=
        static_cast<float>(sampling.presence_penalty + sampling.frequency_penalty * counts[id]);
  }
}

}  // namespace crossover::llm
