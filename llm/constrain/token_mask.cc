#include "llm/constrain/token_mask.h"

#include <utility>

namespace crossover::llm::constrain {

namespace {

// Calls `reached(tree node, state)` for every node below `root` that can be read from `state`, in
// preorder.
template <typename Reached>
void Walk(const TokenVocabulary& vocabulary, int32_t root, LazyTable& table, int32_t& state,
          const Reached& reached) {
  const std::vector<TokenVocabulary::Node>& nodes = vocabulary.nodes();
  const size_t base = nodes[root].depth;
  // States by depth.
  std::vector<int32_t> path(static_cast<size_t>(vocabulary.longest()) + 1 - base);
  path[0] = state;
  for (int32_t i = root + 1; i < nodes[root].end;) {
    const TokenVocabulary::Node& node = nodes[i];
    const size_t depth = node.depth - base;
    if (table.crowded()) table.Keep(std::span(path).first(depth));
    const int32_t next = table.Next(path[depth - 1], node.byte);
    if (next == LazyTable::kDead) {
      i = node.end;
      continue;
    }
    path[depth] = next;
    reached(i, next);
    i = table.open(next) ? i + 1 : node.end;
  }
  state = path[0];
}

// As a list up to this many, 1/32 of a set of the vocabulary.
size_t MostListed(const TokenVocabulary& vocabulary) {
  return static_cast<size_t>(vocabulary.size()) / 32 / 32 + 8;
}

}  // namespace

int64_t LocalMask::bytes() const {
  return static_cast<int64_t>(sizeof(LocalMask) + (ids.size() + escapes.size()) * sizeof(int32_t) +
                              (set == nullptr ? 0 : set->words().size() * sizeof(uint64_t)));
}

LocalMask MaskOf(const Automaton& automaton, const TokenVocabulary& vocabulary, int32_t node) {
  Stacks stacks;
  LazyTable table(automaton, stacks);
  LocalMask mask;
  const std::vector<TokenVocabulary::Node>& nodes = vocabulary.nodes();
  int32_t start = table.Add({.open = {{node, Stacks::kBottom}}, .ends = false});
  Walk(vocabulary, 0, table, start, [&](int32_t at, int32_t state) {
    const std::span<const int32_t> tokens = vocabulary.TokensAt(nodes[at]);
    mask.ids.insert(mask.ids.end(), tokens.begin(), tokens.end());
    if (table.ends(state) && nodes[at].end > at + 1) mask.escapes.push_back(at);
  });
  if (mask.ids.size() > MostListed(vocabulary)) {
    mask.set = std::make_unique<TokenSet>(vocabulary.size());
    for (const int32_t id : std::exchange(mask.ids, {})) mask.set->Add(id);
  }
  mask.ids.shrink_to_fit();
  mask.escapes.shrink_to_fit();
  return mask;
}

void AddBelow(const TokenVocabulary& vocabulary, int32_t tree_node, LazyTable& table,
              int32_t& state, TokenSet& out) {
  Walk(vocabulary, tree_node, table, state, [&](int32_t at, int32_t) {
    for (const int32_t id : vocabulary.TokensAt(vocabulary.nodes()[at])) out.Add(id);
  });
}

}  // namespace crossover::llm::constrain
