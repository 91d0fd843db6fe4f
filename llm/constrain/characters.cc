#include "llm/constrain/characters.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace crossover::llm::constrain {

namespace {

constexpr uint32_t kLastCharacter = 0x10ffff;
constexpr uint32_t kFirstSurrogate = 0xd800;
constexpr uint32_t kLastSurrogate = 0xdfff;

CharSet Without(const CharSet& set, CharRange hole) {
  CharSet out;
  for (const CharRange& range : set) {
    if (range.low < hole.low) out.push_back({range.low, std::min(range.high, hole.low - 1)});
    if (range.high > hole.high) out.push_back({std::max(range.low, hole.high + 1), range.high});
  }
  return out;
}

}  // namespace

CharSet MakeCharSet(std::vector<CharRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CharRange& a, const CharRange& b) { return a.low < b.low; });
  CharSet set;
  for (const CharRange& range : ranges) {
    if (!set.empty() && range.low <= set.back().high + 1) {
      set.back().high = std::max(set.back().high, range.high);
    } else {
      set.push_back(range);
    }
  }
  return Without(set, {kFirstSurrogate, kLastSurrogate});
}

CharSet Complement(const CharSet& set) {
  std::vector<CharRange> out;
  uint32_t next = 0;
  for (const CharRange& range : set) {
    if (range.low > next) out.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kLastCharacter) out.push_back({next, kLastCharacter});
  return MakeCharSet(std::move(out));
}

CharSet Intersection(const CharSet& a, const CharSet& b) {
  CharSet out;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint32_t low = std::max(a[i].low, b[j].low);
    const uint32_t high = std::min(a[i].high, b[j].high);
    if (low <= high) out.push_back({low, high});
    (a[i].high < b[j].high ? i : j) += 1;
  }
  return out;
}

bool Contains(const CharSet& set, uint32_t character) {
  return std::any_of(set.begin(), set.end(), [&](const CharRange& range) {
    return range.low <= character && character <= range.high;
  });
}

const CharSet& AllCharacters() {
  static const CharSet all = MakeCharSet({{0, kLastCharacter}});
  return all;
}

std::vector<uint32_t> CodePoints(std::string_view text) {
  std::vector<uint32_t> out;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t value = length == 1 ? lead : lead & (0xff >> (length + 1));
    if (i + length > text.size()) break;
    for (size_t k = 1; k < length; ++k)
      value = value << 6 | (static_cast<uint8_t>(text[i + k]) & 0x3f);
    out.push_back(value);
    i += length;
  }
  return out;
}

void AppendUtf8(uint32_t c, std::string& out) {
  const auto byte = [&](uint32_t value) { out.push_back(static_cast<char>(value)); };
  const auto rest = [&](int shift) { byte(0x80 | (c >> shift & 0x3f)); };
  if (c < 0x80) return byte(c);
  if (c < 0x800) {
    byte(0xc0 | c >> 6);
  } else if (c < 0x10000) {
    byte(0xe0 | c >> 12);
    rest(6);
  } else {
    byte(0xf0 | c >> 18);
    rest(12);
    rest(6);
  }
  rest(0);
}

bool IsUtf8(std::string_view text) {
  // Wrong bytes, overlong forms and cut characters come back as other bytes.
  std::string again;
  for (const uint32_t character : CodePoints(text)) {
    if (!Contains(AllCharacters(), character)) return false;
    AppendUtf8(character, again);
  }
  return again == text;
}

bool CharAutomaton::Matches(std::string_view text) const {
  std::set<int32_t> now = {0};
  for (const uint32_t character : CodePoints(text)) {
    std::set<int32_t> next;
    for (const int32_t node : now) {
      for (const Edge& edge : nodes[node].edges) {
        if (Contains(edge.set, character)) next.insert(edge.target);
      }
    }
    now = std::move(next);
  }
  return std::any_of(now.begin(), now.end(), [&](int32_t node) { return nodes[node].ends; });
}

std::optional<CharAutomaton> Intersection(const CharAutomaton& a, const CharAutomaton& b,
                                          int32_t max_nodes) {
  CharAutomaton out;
  std::map<std::pair<int32_t, int32_t>, int32_t> numbers;
  std::vector<std::pair<int32_t, int32_t>> order;
  const auto number_of = [&](int32_t x, int32_t y) {
    const auto [it, fresh] = numbers.try_emplace({x, y}, static_cast<int32_t>(order.size()));
    if (fresh) order.emplace_back(x, y);
    return it->second;
  };
  number_of(0, 0);
  constexpr size_t kMaxPairs = 1'000'000;
  size_t pairs = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (static_cast<int64_t>(order.size()) > max_nodes || pairs > kMaxPairs) return std::nullopt;
    const CharAutomaton::Node& x = a.nodes[order[i].first];
    const CharAutomaton::Node& y = b.nodes[order[i].second];
    CharAutomaton::Node node{.edges = {}, .ends = x.ends && y.ends};
    pairs += x.edges.size() * y.edges.size();
    for (const CharAutomaton::Edge& left : x.edges) {
      for (const CharAutomaton::Edge& right : y.edges) {
        CharSet both = Intersection(left.set, right.set);
        if (!both.empty())
          node.edges.push_back({std::move(both), number_of(left.target, right.target)});
      }
    }
    out.nodes.push_back(std::move(node));
  }
  return out;
}

CharAutomaton OfLength(int64_t min, std::optional<int64_t> max) {
  CharAutomaton out;
  const int64_t last = max.value_or(min);
  for (int64_t i = 0; i <= last; ++i) {
    CharAutomaton::Node node{.edges = {}, .ends = i >= min};
    if (i < last || !max)
      node.edges.push_back({AllCharacters(), static_cast<int32_t>(std::min(i + 1, last))});
    out.nodes.push_back(std::move(node));
  }
  return out;
}

CharAutomaton AllBut(const std::vector<std::string>& texts) {
  CharAutomaton out;
  constexpr int32_t kFree = 1;
  out.nodes.push_back({.edges = {}, .ends = true});
  out.nodes.push_back({.edges = {{AllCharacters(), kFree}}, .ends = true});
  std::vector<std::map<uint32_t, int32_t>> next(2);
  for (const std::string& text : texts) {
    int32_t at = 0;
    for (const uint32_t character : CodePoints(text)) {
      const auto [it, fresh] =
          next[at].try_emplace(character, static_cast<int32_t>(out.nodes.size()));
      at = it->second;
      if (!fresh) continue;
      out.nodes.push_back({.edges = {}, .ends = true});
      next.emplace_back();
    }
    out.nodes[at].ends = false;
  }
  for (size_t i = 0; i < next.size(); ++i) {
    if (i == kFree) continue;
    std::vector<CharRange> taken;
    for (const auto& [character, target] : next[i]) {
      taken.push_back({character, character});
      out.nodes[i].edges.push_back({{{character, character}}, target});
    }
    out.nodes[i].edges.push_back({Complement(MakeCharSet(std::move(taken))), kFree});
  }
  return out;
}

}  // namespace crossover::llm::constrain
