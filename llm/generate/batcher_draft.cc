// Batcher: guessing tokens of running sequences and keeping those that turn out right.
#include <algorithm>

#include "llm/generate/batcher.h"
#include "llm/generate/choose.h"

namespace crossover::llm {

// A step of few rows takes as long as one of a single row, because it is the weights that are read;
// rows that would stay empty compute guesses. They go into pages the sequence has anyway.
void Batcher::Draft(std::vector<Share>& shares) {
  int64_t left = options_.speculative_rows;
  for (const Share& share : shares) left -= share.count;
  int64_t generating = 0;
  for (const Share& share : shares) generating += share.sequence->generates() ? 1 : 0;
  for (Share& share : shares) {
    Sequence& sequence = *share.sequence;
    if (left <= 0 || !sequence.generates()) continue;
    KvNode& tail = *sequence.tail;
    const int64_t known = static_cast<int64_t>(tail.tokens.size());
    const int64_t room = static_cast<int64_t>(tail.pages.size()) * kPageTokens - known;
    const int64_t wanted =
        sequence.sampling.max_tokens - static_cast<int64_t>(sequence.result.tokens.size()) - 1;
    const int64_t fair = (left + generating - 1) / generating;
    --generating;
    if (tail.computed + share.count != known) continue;  // Its prompt is not done in this step.
    const int64_t count =
        sequence.draft_length.Next(std::min({fair, left, room, std::max<int64_t>(wanted, 0)}));
    if (count <= 0) continue;
    const std::vector<int32_t> guesses = Lookup(sequence.prompt, count);
    tail.tokens.insert(tail.tokens.end(), guesses.begin(), guesses.end());
    share.drafts = static_cast<int64_t>(guesses.size());
    share.count += share.drafts;
    left -= share.drafts;
    totals_.drafted_tokens_total += share.drafts;
  }
}

// The token after each row, up to the first that contradicts a guess. Each is drawn as it would be
// without guesses: by its own logits, position and seed.
std::vector<GeneratedToken> Batcher::Choose(const Share& share, const StepLogits& logits) const {
  Sequence& sequence = *share.sequence;
  const std::vector<int32_t>& known = sequence.tail->tokens;
  std::vector<GeneratedToken> tokens;
  for (int64_t i = 0; i < share.logits; ++i) {
    thread_local std::vector<float> row;
    logits.Row(share.first_logit + i, row);
    tokens.push_back(ChooseToken(sequence, tokens, row));
    if (i == share.drafts) break;
    if (tokens.back().id != known[known.size() - static_cast<size_t>(share.drafts - i)]) break;
    if (sequence.constraint != nullptr && sequence.constraint->finished()) break;
  }
  return tokens;
}

// Takes the guesses back and accepts what was chosen; what a right guess computed stays.
void Batcher::AcceptTokens(const Share& share, std::vector<GeneratedToken> tokens) {
  Sequence& sequence = *share.sequence;
  KvNode& tail = *sequence.tail;
  tail.tokens.resize(tail.tokens.size() - static_cast<size_t>(share.drafts));
  tail.computed -= share.drafts;
  const int64_t right = static_cast<int64_t>(tokens.size()) - 1;
  sequence.draft_length.Learn(share.drafts, right);
  totals_.accepted_drafts_total += right;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) ++tail.computed;
    if (!AcceptToken(sequence, std::move(tokens[i]))) return;
  }
}

}  // namespace crossover::llm
