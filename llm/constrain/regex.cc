// From the tree of an expression to an automaton without jumps (Thompson's construction).
#include "llm/constrain/regex.h"

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/constrain/regex_syntax.h"

namespace crossover::llm::constrain {

namespace {

constexpr int32_t kMaxRegexNodes = 50'000;
constexpr size_t kMaxRegexWork = 500'000;
constexpr int32_t kMaxRegexStates = 10'000;

// With jumps, and with jumps that may be taken at the text's beginning or end only.
class RegexGraph {
 public:
  enum class Jump : char { kAlways, kBegin, kEnd };

  int32_t NewNode() {
    if (static_cast<int32_t>(nodes_.size()) >= kMaxRegexNodes) {
      full_ = true;
      return kMaxRegexNodes - 1;
    }
    nodes_.emplace_back();
    return static_cast<int32_t>(nodes_.size()) - 1;
  }

  bool full() const { return full_; }

  void Character(int32_t from, const CharSet& set, int32_t to) {
    if (!set.empty()) nodes_[from].edges.push_back({set, to});
  }
  void Add(int32_t from, int32_t to, Jump jump = Jump::kAlways) {
    nodes_[from].jumps.emplace_back(to, jump);
  }

  // The node after the tree.
  int32_t Add(const RegexTree& tree, int32_t from) {
    if (full_) return from;
    switch (tree.kind) {
      case RegexTree::Kind::kSet: {
        const int32_t to = NewNode();
        Character(from, tree.set, to);
        return to;
      }
      case RegexTree::Kind::kBegin:
      case RegexTree::Kind::kEnd: {
        const int32_t to = NewNode();
        Add(from, to, tree.kind == RegexTree::Kind::kBegin ? Jump::kBegin : Jump::kEnd);
        return to;
      }
      case RegexTree::Kind::kSequence:
        for (const RegexTree& part : tree.parts) from = Add(part, from);
        return from;
      case RegexTree::Kind::kChoice: {
        const int32_t to = NewNode();
        for (const RegexTree& part : tree.parts) {
          const int32_t begin = NewNode();
          Add(from, begin);
          Add(Add(part, begin), to);
        }
        return to;
      }
      case RegexTree::Kind::kRepeat:
        return Repeat(tree, from);
    }
    return from;
  }

  // `start` and `end` of the whole. Sets full() if there are too many jumps to follow.
  CharAutomaton Finish(int32_t start, int32_t end);

 private:
  struct Node {
    std::vector<CharAutomaton::Edge> edges;
    std::vector<std::pair<int32_t, Jump>> jumps;
  };
  // What has been read so far decides which jumps are open.
  struct Place {
    int32_t node = 0;
    bool begun = false;  // A character has been read.
    bool ended = false;  // None may be read any more.
    auto operator<=>(const Place&) const = default;
  };

  int32_t Repeat(const RegexTree& tree, int32_t from) {
    for (int i = 0; i < tree.min && !full_; ++i) {
      const int32_t next = Add(tree.parts[0], from);
      if (next == from) break;  // An empty group: as often as one likes.
      from = next;
    }
    if (tree.max == tree.min) return from;
    const int32_t to = NewNode();
    if (!tree.max) {
      const int32_t loop = NewNode();
      Add(from, loop);
      Add(Add(tree.parts[0], loop), loop);
      Add(loop, to);
      return to;
    }
    for (int i = tree.min; i < *tree.max && !full_; ++i) {
      Add(from, to);
      // A node of its own, so that what the part loops back to cannot leave early.
      const int32_t begin = NewNode();
      Add(from, begin);
      from = Add(tree.parts[0], begin);
    }
    Add(from, to);
    return to;
  }

  std::vector<Place> Reach(Place from) const {
    std::vector<Place> reached = {from};
    std::map<Place, bool> seen = {{from, true}};
    for (size_t i = 0; i < reached.size(); ++i) {
      const Place at = reached[i];
      for (const auto& [target, jump] : nodes_[at.node].jumps) {
        if (jump == Jump::kBegin && at.begun) continue;
        const Place next{target, at.begun, at.ended || jump == Jump::kEnd};
        if (seen.try_emplace(next, true).second) reached.push_back(next);
      }
    }
    return reached;
  }

  bool full_ = false;
  std::vector<Node> nodes_;
};

CharAutomaton RegexGraph::Finish(int32_t start, int32_t end) {
  CharAutomaton out;
  std::map<std::pair<int32_t, bool>, int32_t> numbers;
  std::vector<std::pair<int32_t, bool>> order;
  const auto number_of = [&](int32_t node, bool begun) {
    const auto [it, fresh] = numbers.try_emplace({node, begun}, static_cast<int32_t>(order.size()));
    if (fresh) order.emplace_back(node, begun);
    return it->second;
  };
  number_of(start, false);
  size_t work = 0;
  for (size_t i = 0; i < order.size() && !full_; ++i) {
    CharAutomaton::Node node;
    const std::vector<Place> reached = Reach({order[i].first, order[i].second, false});
    work += reached.size();
    for (const Place& place : reached) {
      work += nodes_[place.node].edges.size();
      node.ends |= place.node == end;
      if (place.ended) continue;
      for (const CharAutomaton::Edge& edge : nodes_[place.node].edges)
        node.edges.push_back({edge.set, number_of(edge.target, true)});
    }
    out.nodes.push_back(std::move(node));
    full_ |= work > kMaxRegexWork;
  }
  return out;
}

}  // namespace

absl::StatusOr<CharAutomaton> CompileRegex(std::string_view pattern, RegexUse use) {
  if (!IsUtf8(pattern)) {
    return Error(absl::StatusCode::kInvalidArgument, "CONSTRAINT_INVALID",
                 "the regular expression is not UTF-8");
  }
  ASSIGN_OR_RETURN(const RegexTree tree, ParseRegex(pattern));
  RegexGraph graph;
  const int32_t start = graph.NewNode();
  int32_t begin = start;
  if (use == RegexUse::kSearch) {
    graph.Character(start, AllCharacters(), start);
    begin = graph.NewNode();
    graph.Add(start, begin);
  }
  int32_t end = graph.Add(tree, begin);
  if (use == RegexUse::kSearch) {
    const int32_t rest = graph.NewNode();
    graph.Add(end, rest);
    graph.Character(rest, AllCharacters(), rest);
    end = rest;
  }
  const auto too_large = [](const char* what) {
    return Error(absl::StatusCode::kInvalidArgument, "CONSTRAINT_INVALID",
                 absl::StrCat("the regular expression ", what, "; count less in { }"));
  };
  if (graph.full()) return too_large("unfolds to too many parts");
  const CharAutomaton ways = graph.Finish(start, end);
  if (graph.full()) return too_large("has too many parts that may be empty");
  std::optional<CharAutomaton> one_way = Determinised(ways, kMaxRegexStates);
  if (!one_way) return too_large("leaves open for too long which of its parts is read");
  return *std::move(one_way);
}

CharAutomaton KnownRegex(std::string_view pattern) {
  absl::StatusOr<CharAutomaton> automaton = CompileRegex(pattern, RegexUse::kWhole);
  if (!automaton.ok())
    throw std::logic_error(absl::StrCat(ToAbsl(pattern), ": ", automaton.status().message()));
  return *std::move(automaton);
}

}  // namespace crossover::llm::constrain
