// The next token of a sequence: constraint, penalties, sampling. No torch.
#pragma once

#include <span>

#include "llm/generate/engine.h"
#include "llm/generate/sequence.h"

namespace crossover::llm {

// Draws from `logits`, which is scratch, and takes the token for the sequence's constraint; once
// for each token of the answer. `fresh`: tokens drawn before it that are not part of the result
// yet. Its id is -1 if the vocabulary has no token that the constraint allows here (or it allows so
// many ways at once that it lost count of them).
GeneratedToken ChooseToken(Sequence& sequence, std::span<const GeneratedToken> fresh,
                           std::span<float> logits);

}  // namespace crossover::llm
