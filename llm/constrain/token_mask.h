// Which tokens may come next, in parts that can be kept.
//
// What may follow within a rule does not depend on who called it; only a token that runs beyond the
// rule's end does. So for a node of the automaton the tokens that stay inside are found once, and
// the places of the vocabulary's tree where the rule ends are noted; from there the caller's
// continuation is tried each time. (The idea of XGrammar, arXiv:2411.15100.)
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "llm/constrain/automaton.h"
#include "llm/constrain/lru.h"
#include "llm/constrain/threads.h"
#include "llm/constrain/vocabulary.h"

namespace crossover::llm::constrain {

// A set of token ids.
class TokenSet {
 public:
  explicit TokenSet(int32_t vocabulary) : words_((static_cast<size_t>(vocabulary) + 63) / 64) {}

  void Add(int32_t id) { words_[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64); }
  void Remove(int32_t id) { words_[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (id % 64)); }
  bool Has(int32_t id) const { return words_[static_cast<size_t>(id) / 64] >> (id % 64) & 1; }
  // `other` may be of a smaller vocabulary.
  void Add(const TokenSet& other) {
    for (size_t i = 0; i < other.words_.size(); ++i) words_[i] |= other.words_[i];
  }
  const std::vector<uint64_t>& words() const { return words_; }

 private:
  std::vector<uint64_t> words_;
};

// Of one node, entered with the caller unknown.
struct LocalMask {
  // Tokens that may come next whoever called: they end inside, or exactly where the rule may end.
  // Few are a list, many a set.
  std::vector<int32_t> ids;
  std::unique_ptr<TokenSet> set;
  // Nodes of the vocabulary's tree where the rule may end and tokens go on.
  std::vector<int32_t> escapes;

  int64_t bytes() const;
};

// What may be read at `node` itself; calls that it makes are threads of their own.
LocalMask MaskOf(const Automaton& automaton, const TokenVocabulary& vocabulary, int32_t node);

// Adds the tokens below `tree_node` that may be read from `state` of `table`. The state's number
// may change.
void AddBelow(const TokenVocabulary& vocabulary, int32_t tree_node, LazyTable& table,
              int32_t& state, TokenSet& out);

// By Automaton::Classes of the vocabulary's longest token.
using MaskCache = Lru<uint64_t, LocalMask>;

}  // namespace crossover::llm::constrain
