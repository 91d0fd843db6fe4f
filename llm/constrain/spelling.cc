// Characters as bytes: UTF-8, and the escapes of JSON strings.
#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_format.h"
#include "llm/constrain/characters.h"

namespace crossover::llm::constrain {

namespace {

struct ByteRange {
  uint8_t low = 0;
  uint8_t high = 0;
};
using ByteRanges = std::vector<ByteRange>;  // One for each byte of a character.

// Parts of low … high whose bytes are ranges of their own, each place for itself: 80 … bf in all
// places behind the first in which low and high differ.
void SplitUtf8(uint32_t low, uint32_t high, std::vector<ByteRanges>& out) {
  for (const uint32_t last : {0x7fu, 0x7ffu, 0xffffu}) {
    if (low <= last && high > last) {
      SplitUtf8(low, last, out);
      return SplitUtf8(last + 1, high, out);
    }
  }
  for (int shift = 6; high >= 0x80 && shift <= 18; shift += 6) {
    const uint32_t mask = (1u << shift) - 1;
    if ((low & ~mask) == (high & ~mask)) continue;
    if ((low & mask) != 0) {
      SplitUtf8(low, low | mask, out);
      return SplitUtf8((low | mask) + 1, high, out);
    }
    if ((high & mask) != mask) {
      SplitUtf8(low, (high & ~mask) - 1, out);
      return SplitUtf8(high & ~mask, high, out);
    }
  }
  std::string first, last;
  AppendUtf8(low, first);
  AppendUtf8(high, last);
  ByteRanges ranges;
  for (size_t i = 0; i < first.size(); ++i)
    ranges.push_back({static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i])});
  out.push_back(std::move(ranges));
}

// Adds ways between nodes that share their ends.
class Ways {
 public:
  explicit Ways(AutomatonBuilder& builder) : builder_(builder) {}

  void Add(int32_t from, const ByteRanges& bytes, int32_t to) {
    int32_t next = to;
    for (size_t i = bytes.size(); i-- > 1;) {
      const auto [it, fresh] = before_.try_emplace({bytes[i].low, bytes[i].high, next}, 0);
      if (fresh) {
        it->second = builder_.NewNode();
        builder_.Byte(it->second, bytes[i].low, bytes[i].high, next);
      }
      next = it->second;
    }
    builder_.Byte(from, bytes[0].low, bytes[0].high, next);
  }

  void Add(int32_t from, std::string_view text, int32_t to) {
    ByteRanges bytes;
    for (const char c : text) bytes.push_back({static_cast<uint8_t>(c), static_cast<uint8_t>(c)});
    Add(from, bytes, to);
  }

  void Add(int32_t from, const CharSet& set, Spelling spelling, int32_t to);

 private:
  AutomatonBuilder& builder_;
  std::map<std::tuple<uint8_t, uint8_t, int32_t>, int32_t> before_;
};

std::string JsonEscape(uint32_t character) {
  switch (character) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return absl::StrFormat("\\u%04x", character);
  }
}

const CharSet& Escaped() {
  static const CharSet set = MakeCharSet({{0, 0x1f}, {'"', '"'}, {'\\', '\\'}});
  return set;
}

void Ways::Add(int32_t from, const CharSet& set, Spelling spelling, int32_t to) {
  const bool json = spelling == Spelling::kJson;
  std::vector<ByteRanges> plain;
  for (const CharRange& range : json ? Intersection(set, Complement(Escaped())) : set)
    SplitUtf8(range.low, range.high, plain);
  for (const ByteRanges& bytes : plain) Add(from, bytes, to);
  if (!json) return;
  for (const CharRange& range : Intersection(set, Escaped())) {
    for (uint32_t c = range.low; c <= range.high; ++c) Add(from, JsonEscape(c), to);
  }
}

}  // namespace

std::string Spelled(std::string_view text, Spelling spelling) {
  if (spelling == Spelling::kUtf8) return std::string(text);
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (Contains(Escaped(), byte)) {
      out += JsonEscape(byte);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

void AddCharacters(AutomatonBuilder& builder, int32_t from, const CharSet& set, Spelling spelling,
                   int32_t to) {
  Ways(builder).Add(from, set, spelling, to);
}

void AddText(AutomatonBuilder& builder, int32_t from, const CharAutomaton& texts, Spelling spelling,
             int32_t to) {
  std::vector<int32_t> nodes;
  for (size_t i = 0; i < texts.nodes.size(); ++i) nodes.push_back(builder.NewNode());
  builder.Jump(from, nodes[0]);
  Ways ways(builder);
  for (size_t i = 0; i < texts.nodes.size() && !builder.full(); ++i) {
    for (const CharAutomaton::Edge& edge : texts.nodes[i].edges)
      ways.Add(nodes[i], edge.set, spelling, nodes[edge.target]);
    if (texts.nodes[i].ends) builder.Jump(nodes[i], to);
  }
}

}  // namespace crossover::llm::constrain
