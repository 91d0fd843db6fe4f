// Pushdown automata over bytes: which texts may be written, and which beginnings of them.
//
// A rule is a piece of such an automaton with an entry and an exit; an edge may call a rule and go
// on when it is through, which is what recursion (nested JSON) needs. Several ways may be open at
// once (non-determinism); threads.h follows them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::llm::constrain {

// Immutable and thread-safe. Trimmed: from every node the end of its rule can be reached, so every
// text that leads somewhere is the beginning of a whole one. Nothing is called without end before a
// byte is read.
class Automaton {
 public:
  // Reads a byte from `low` to `high`.
  struct Edge {
    uint8_t low = 0;
    uint8_t high = 0;
    int32_t target = 0;
  };
  // Reads what leads from `entry` to the end of its rule, and goes on at `then`.
  struct Call {
    int32_t entry = 0;
    int32_t then = 0;
  };
  struct Node {
    std::vector<Edge> edges;
    std::vector<Call> calls;
    bool ends = false;  // The rule may end here.
  };

  int32_t entry() const { return 0; }
  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }
  const Node& at(int32_t node) const { return nodes_[node]; }

  // For each node a number that depends on nothing but what may follow it within its rule in up to
  // `bytes` bytes: no token of at most that length tells two nodes with one number apart, be they
  // of one automaton or of two. (A hash of 64 bits; chance makes two equal once in 2^64 pairs.)
  std::vector<uint64_t> Classes(int bytes) const;

 private:
  friend class AutomatonBuilder;
  // Callees and what follows callees that may be empty come before those who call.
  std::vector<int32_t> CalleesFirst() const;
  // May the rule end without a byte from here?
  std::vector<char> Nullable() const;

  std::vector<Node> nodes_;
};

// Puts an automaton together. Nodes are numbers; a node belongs to the rule whose entry leads to
// it. Bounded: beyond `max_nodes` nothing is added and full() is true; Build() then fails, and
// loops that add should end.
class AutomatonBuilder {
 public:
  using Node = int32_t;
  using Rule = int32_t;

  explicit AutomatonBuilder(int32_t max_nodes = 60'000) : max_nodes_(max_nodes) {}

  bool full() const { return full_; }

  Node NewNode();
  void Byte(Node from, uint8_t low, uint8_t high, Node to);
  void Jump(Node from, Node to);
  void Call(Node from, Rule rule, Node then);

  // The node after the text.
  Node Text(Node from, std::string_view text);
  void Text(Node from, std::string_view text, Node to);
  // Any of the texts, as one tree. The empty text is a jump.
  void AnyOf(Node from, std::vector<std::string> texts, Node to);
  // The node after the call.
  Node After(Node from, Rule rule);

  Rule NewRule();
  Node entry(Rule rule) const { return rules_[rule].entry; }
  Node exit(Rule rule) const { return rules_[rule].exit; }

  // Of each rule, whether any text leads through it. Of what has been added so far.
  std::vector<char> Possible() const;

  // ResourceExhausted when full; FailedPrecondition if no text leads through `start`, or if a rule
  // calls itself before a byte is read.
  absl::StatusOr<Automaton> Build(Rule start) const;

 private:
  struct CallEdge {
    Rule rule;
    Node then;
  };
  struct Draft {
    std::vector<Automaton::Edge> edges;
    std::vector<Node> jumps;
    std::vector<CallEdge> calls;
  };
  struct Ends {
    Node entry;
    Node exit;
  };

  // Nodes from which the exit of their rule can be reached.
  std::vector<char> Live() const;
  // `seen_by[n]` becomes `node` for what was looked at.
  void Close(Node node, const std::vector<char>& live, const std::vector<char>& is_exit,
             std::vector<Node>& seen_by, Automaton::Node& out) const;

  const int32_t max_nodes_;
  bool full_ = false;
  std::vector<Draft> nodes_;
  std::vector<Ends> rules_;
};

}  // namespace crossover::llm::constrain
