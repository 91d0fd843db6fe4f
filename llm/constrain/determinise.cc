// The subset construction over ranges of characters.
#include <algorithm>
#include <map>
#include <utility>

#include "llm/constrain/characters.h"

namespace crossover::llm::constrain {

namespace {

// Looks at edges; more are not worth anybody's while.
constexpr int64_t kMaxWork = 5'000'000;

using Subset = std::vector<int32_t>;

// The targets of each stretch of characters that all edges of a subset treat alike.
class Stretches {
 public:
  void Add(const CharAutomaton::Edge& edge) {
    for (const CharRange& range : edge.set) {
      events_.push_back({range.low, edge.target, true});
      events_.push_back({range.high + 1, edge.target, false});
    }
  }

  size_t size() const { return events_.size(); }

  // Calls `found(range, subset)` in the order of the characters. Returns the work it took.
  template <typename Found>
  int64_t ForEach(const Found& found) {
    std::sort(events_.begin(), events_.end(),
              [](const Event& a, const Event& b) { return a.at < b.at; });
    std::map<int32_t, int> open;  // Edges to each target.
    int64_t work = 0;
    for (size_t i = 0; i < events_.size();) {
      const uint32_t at = events_[i].at;
      for (; i < events_.size() && events_[i].at == at; ++i) {
        int& count = open[events_[i].target];
        count += events_[i].begins ? 1 : -1;
        if (count == 0) open.erase(events_[i].target);
      }
      if (open.empty()) continue;
      Subset subset;
      for (const auto& [target, count] : open) subset.push_back(target);
      work += static_cast<int64_t>(subset.size());
      found(CharRange{at, events_[i].at - 1}, std::move(subset));
    }
    return work;
  }

 private:
  struct Event {
    uint32_t at = 0;
    int32_t target = 0;
    bool begins = false;
  };
  std::vector<Event> events_;
};

}  // namespace

std::optional<CharAutomaton> Determinised(const CharAutomaton& automaton, int32_t max_nodes) {
  CharAutomaton out;
  std::map<Subset, int32_t> numbers;
  std::vector<Subset> order;
  const auto number_of = [&](Subset subset) {
    const auto [it, fresh] = numbers.try_emplace(subset, static_cast<int32_t>(order.size()));
    if (fresh) order.push_back(std::move(subset));
    return it->second;
  };
  number_of({0});
  int64_t work = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (static_cast<int64_t>(order.size()) > max_nodes || work > kMaxWork) return std::nullopt;
    CharAutomaton::Node node;
    Stretches stretches;
    for (const int32_t member : order[i]) {
      node.ends |= automaton.nodes[member].ends;
      for (const CharAutomaton::Edge& edge : automaton.nodes[member].edges) stretches.Add(edge);
    }
    std::map<int32_t, std::vector<CharRange>> ranges;  // By target.
    work += static_cast<int64_t>(stretches.size());
    work += stretches.ForEach([&](CharRange range, Subset subset) {
      ranges[number_of(std::move(subset))].push_back(range);
    });
    for (auto& [target, list] : ranges)
      node.edges.push_back({MakeCharSet(std::move(list)), target});
    out.nodes.push_back(std::move(node));
  }
  return out;
}

}  // namespace crossover::llm::constrain
