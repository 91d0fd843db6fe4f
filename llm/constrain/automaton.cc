#include "llm/constrain/automaton.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace crossover::llm::constrain {

std::vector<char> Automaton::Nullable() const {
  // A node is nullable if its rule may end at it, or if it calls a nullable rule and goes on at a
  // nullable node. A fixed point; chains of such calls are short.
  std::vector<char> nullable(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) nullable[i] = nodes_[i].ends;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = nodes_.size(); i-- > 0;) {
      if (nullable[i]) continue;
      for (const Call& call : nodes_[i].calls)
        nullable[i] |= nullable[call.entry] && nullable[call.then];
      changed |= nullable[i] != 0;
    }
  }
  return nullable;
}

std::vector<int32_t> Automaton::CalleesFirst() const {
  const std::vector<char> nullable = Nullable();
  const auto needs = [&](int32_t node) {
    std::vector<int32_t> list;
    for (const Call& call : nodes_[node].calls) {
      list.push_back(call.entry);
      if (nullable[call.entry]) list.push_back(call.then);
    }
    return list;
  };
  enum : char { kNew, kOpen, kDone };
  std::vector<char> state(nodes_.size(), kNew);
  std::vector<int32_t> order;
  struct Visit {
    int32_t node;
    std::vector<int32_t> needs;
  };
  for (int32_t root = 0; root < size(); ++root) {
    if (state[root] != kNew) continue;
    std::vector<Visit> path;
    path.push_back({root, needs(root)});
    state[root] = kOpen;
    while (!path.empty()) {
      Visit& top = path.back();
      if (top.needs.empty()) {
        state[top.node] = kDone;
        order.push_back(top.node);
        path.pop_back();
        continue;
      }
      const int32_t next = top.needs.back();
      top.needs.pop_back();
      if (state[next] == kOpen) return {};  // Calls itself before a byte is read.
      if (state[next] == kDone) continue;
      state[next] = kOpen;
      path.push_back({next, needs(next)});
    }
  }
  return order;
}

std::vector<uint64_t> Automaton::Classes(int bytes) const {
  // Differs from process to process, so that nobody can prepare two nodes with one number.
  static const char salt = 0;
  const auto seed = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(&salt));
  const std::vector<int32_t> order = CalleesFirst();
  const std::vector<char> nullable = Nullable();
  std::vector<uint64_t> before(nodes_.size(), 0), now(nodes_.size());
  for (int round = 0; round < bytes; ++round) {
    // Sums, because edges have no order.
    const auto hash = [&](uint64_t kind, uint64_t a, uint64_t b) {
      const uint64_t parts[] = {kind, a, b};
      return XXH3_64bits_withSeed(parts, sizeof(parts), seed + static_cast<uint64_t>(round));
    };
    for (const int32_t node : order) {
      uint64_t sum = hash(0, nodes_[node].ends, 0);
      for (const Edge& edge : nodes_[node].edges)
        sum += hash(1, edge.low * 256u + edge.high, before[edge.target]);
      // What follows a callee that reads at least a byte has a byte less to go.
      for (const Call& call : nodes_[node].calls)
        sum += hash(2, now[call.entry], nullable[call.entry] ? now[call.then] : before[call.then]);
      now[node] = sum;
    }
    std::swap(before, now);
  }
  return before;
}

AutomatonBuilder::Node AutomatonBuilder::NewNode() {
  if (static_cast<int32_t>(nodes_.size()) >= max_nodes_) {
    full_ = true;
    return max_nodes_ - 1;
  }
  nodes_.emplace_back();
  return static_cast<Node>(nodes_.size()) - 1;
}

void AutomatonBuilder::Byte(Node from, uint8_t low, uint8_t high, Node to) {
  if (!full_) nodes_[from].edges.push_back({low, high, to});
}

void AutomatonBuilder::Jump(Node from, Node to) {
  if (!full_) nodes_[from].jumps.push_back(to);
}

void AutomatonBuilder::Call(Node from, Rule rule, Node then) {
  if (!full_) nodes_[from].calls.push_back({rule, then});
}

AutomatonBuilder::Node AutomatonBuilder::Text(Node from, std::string_view text) {
  for (const char c : text) {
    const Node next = NewNode();
    Byte(from, static_cast<uint8_t>(c), static_cast<uint8_t>(c), next);
    from = next;
  }
  return from;
}

void AutomatonBuilder::Text(Node from, std::string_view text, Node to) {
  Jump(Text(from, text), to);
}

void AutomatonBuilder::AnyOf(Node from, std::vector<std::string> texts, Node to) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  std::vector<Node> path = {from};  // Of the text before, by length.
  std::string_view last;
  for (const std::string& text : texts) {
    if (full_) return;
    const auto common = static_cast<size_t>(
        std::mismatch(text.begin(), text.end(), last.begin(), last.end()).first - text.begin());
    path.resize(common + 1);
    for (size_t i = common; i < text.size(); ++i) {
      path.push_back(NewNode());
      Byte(path[i], static_cast<uint8_t>(text[i]), static_cast<uint8_t>(text[i]), path[i + 1]);
    }
    Jump(path.back(), to);
    last = text;
  }
}

AutomatonBuilder::Node AutomatonBuilder::After(Node from, Rule rule) {
  const Node then = NewNode();
  Call(from, rule, then);
  return then;
}

AutomatonBuilder::Rule AutomatonBuilder::NewRule() {
  const Node entry = NewNode();
  rules_.push_back({entry, NewNode()});
  return static_cast<Rule>(rules_.size()) - 1;
}

std::vector<char> AutomatonBuilder::Live() const {
  std::vector<std::vector<Node>> sources(nodes_.size());  // By what they lead to without a call.
  struct Waiting {
    Node from;
    Rule rule;
    Node then;
  };
  std::vector<Waiting> calls;
  std::vector<std::vector<size_t>> calls_of(nodes_.size());  // By `then` and by the entry.
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const auto from = static_cast<Node>(i);
    for (const Automaton::Edge& edge : nodes_[i].edges) sources[edge.target].push_back(from);
    for (const Node target : nodes_[i].jumps) sources[target].push_back(from);
    for (const CallEdge& call : nodes_[i].calls) {
      calls_of[call.then].push_back(calls.size());
      calls_of[entry(call.rule)].push_back(calls.size());
      calls.push_back({from, call.rule, call.then});
    }
  }
  std::vector<char> live(nodes_.size());
  std::vector<Node> work;
  const auto mark = [&](Node node) {
    if (live[node]) return;
    live[node] = 1;
    work.push_back(node);
  };
  for (const Ends& rule : rules_) mark(rule.exit);
  while (!work.empty()) {
    const Node node = work.back();
    work.pop_back();
    for (const Node source : sources[node]) mark(source);
    for (const size_t i : calls_of[node]) {
      if (live[calls[i].then] && live[entry(calls[i].rule)]) mark(calls[i].from);
    }
  }
  return live;
}

std::vector<char> AutomatonBuilder::Possible() const {
  const std::vector<char> live = Live();
  std::vector<char> possible;
  for (const Ends& rule : rules_) possible.push_back(live[rule.entry]);
  return possible;
}

// What can be done at `node`, jumps followed.
void AutomatonBuilder::Close(Node node, const std::vector<char>& live,
                             const std::vector<char>& is_exit, std::vector<Node>& seen_by,
                             Automaton::Node& out) const {
  std::vector<Node> seen = {node};
  seen_by[node] = node;
  for (size_t i = 0; i < seen.size(); ++i) {
    const Draft& draft = nodes_[seen[i]];
    out.ends |= is_exit[seen[i]] != 0;
    for (const Automaton::Edge& edge : draft.edges) {
      if (live[edge.target]) out.edges.push_back(edge);
    }
    for (const CallEdge& call : draft.calls) {
      if (live[call.then] && live[entry(call.rule)])
        out.calls.push_back({entry(call.rule), call.then});
    }
    for (const Node target : draft.jumps) {
      if (live[target] && std::exchange(seen_by[target], node) != node) seen.push_back(target);
    }
  }
}

absl::StatusOr<Automaton> AutomatonBuilder::Build(Rule start) const {
  if (full_) return absl::ResourceExhaustedError("too large");
  const std::vector<char> live = Live();
  if (!live[entry(start)]) return absl::FailedPreconditionError("no text is allowed");
  std::vector<char> is_exit(nodes_.size());
  for (const Ends& rule : rules_) is_exit[rule.exit] = 1;

  constexpr size_t kMaxEdges = 500'000;
  Automaton automaton;
  std::vector<int32_t> number(nodes_.size(), -1);
  std::vector<Node> seen_by(nodes_.size(), -1);
  std::vector<Node> order;
  const auto number_of = [&](Node node) {
    if (number[node] < 0) {
      number[node] = static_cast<int32_t>(order.size());
      order.push_back(node);
    }
    return number[node];
  };
  number_of(entry(start));
  size_t edges = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    Automaton::Node node;
    Close(order[i], live, is_exit, seen_by, node);
    for (Automaton::Edge& edge : node.edges) edge.target = number_of(edge.target);
    for (Automaton::Call& call : node.calls) call = {number_of(call.entry), number_of(call.then)};
    edges += node.edges.size() + node.calls.size();
    if (edges > kMaxEdges) return absl::ResourceExhaustedError("too large");
    automaton.nodes_.push_back(std::move(node));
  }
  if (automaton.CalleesFirst().empty())
    return absl::FailedPreconditionError("refers to itself without anything between");
  return automaton;
}

}  // namespace crossover::llm::constrain
