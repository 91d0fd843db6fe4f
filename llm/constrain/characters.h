// Sets of characters, and automata over characters: what regular expressions become before they
// are spelled in bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/constrain/automaton.h"

namespace crossover::llm::constrain {

// Code points from `low` to `high`.
struct CharRange {
  uint32_t low = 0;
  uint32_t high = 0;
  bool operator==(const CharRange&) const = default;
};

// Sorted, apart from each other, without surrogates.
using CharSet = std::vector<CharRange>;

// Any ranges, made a CharSet.
CharSet MakeCharSet(std::vector<CharRange> ranges);
CharSet Complement(const CharSet& set);
CharSet Intersection(const CharSet& a, const CharSet& b);
bool Contains(const CharSet& set, uint32_t character);
const CharSet& AllCharacters();

// A finite automaton over characters. Node 0 is the start; there is at least one node.
struct CharAutomaton {
  struct Edge {
    CharSet set;
    int32_t target = 0;
  };
  struct Node {
    std::vector<Edge> edges;
    bool ends = false;
  };
  std::vector<Node> nodes;

  // `text` is UTF-8.
  bool Matches(std::string_view text) const;
};

// Texts of both. Nullopt if more than `max_nodes` nodes are needed, or very much work.
std::optional<CharAutomaton> Intersection(const CharAutomaton& a, const CharAutomaton& b,
                                          int32_t max_nodes);

// The same texts with at most one way of reading each. Nullopt if more than `max_nodes` nodes are
// needed, or very much work.
std::optional<CharAutomaton> Determinised(const CharAutomaton& automaton, int32_t max_nodes);

// Texts of `min` to `max` characters (no limit if absent). A chain of as many nodes.
CharAutomaton OfLength(int64_t min, std::optional<int64_t> max);

// Every text but these.
CharAutomaton AllBut(const std::vector<std::string>& texts);

// How characters become bytes.
enum class Spelling {
  kUtf8,
  // As in a JSON string, each in one way only: escaped where JSON demands it (\" \\ \n, else
  // \u001f), as it is otherwise.
  kJson,
};

// The bytes of one text.
std::string Spelled(std::string_view text, Spelling spelling);

void AddCharacters(AutomatonBuilder& builder, int32_t from, const CharSet& set, Spelling spelling,
                   int32_t to);
void AddText(AutomatonBuilder& builder, int32_t from, const CharAutomaton& texts, Spelling spelling,
             int32_t to);

bool IsUtf8(std::string_view text);
// The characters of a text in UTF-8.
std::vector<uint32_t> CodePoints(std::string_view text);
void AppendUtf8(uint32_t character, std::string& out);

}  // namespace crossover::llm::constrain
