#include "llm/generate/choose.h"

#include <algorithm>

#include "llm/generate/sampler.h"

namespace crossover::llm {

GeneratedToken ChooseToken(Sequence& sequence, std::span<const GeneratedToken> fresh,
                           std::span<float> logits) {
  ConstraintState* constraint = sequence.constraint.get();
  if (constraint != nullptr && !constraint->Restrict(sequence.sampling.stop_ids, logits))
    return {.id = -1};
  const GenerateResult& result = sequence.result;
  // The sequence's prompt may have grown by the answer.
  const std::span<const int32_t> prompt(sequence.prompt.data(),
                                        static_cast<size_t>(result.prompt_tokens));
  const auto position = static_cast<int64_t>(result.tokens.size() + fresh.size());
  GeneratedToken token =
      Sample(sequence.sampling, position, logits, {prompt, result.tokens, fresh});
  if (constraint == nullptr || constraint->Accept(token.id)) return token;
  const std::vector<int32_t>& stops = sequence.sampling.stop_ids;
  if (std::find(stops.begin(), stops.end(), token.id) == stops.end()) token.id = -1;
  return token;
}

}  // namespace crossover::llm
