// Rules for JSON values of any kind, made when first asked for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "llm/constrain/automaton.h"

namespace crossover::llm::constrain {

// Borrows the builder.
class JsonRules {
 public:
  using Node = AutomatonBuilder::Node;
  using Rule = AutomatonBuilder::Rule;

  explicit JsonRules(AutomatonBuilder& builder) : builder_(builder) {}

  // Nothing, a space, or a line break and up to 32 spaces.
  Rule WhiteSpace();
  // In every spelling.
  Rule String();
  Rule Value();
  Rule Object();
  Rule Array();
  // Of a regular expression for the value's bytes.
  Rule Matching(const std::string& pattern);
  Rule Number();

  // A string of `min` to `max` characters, in every spelling.
  void AddString(Node from, int64_t min, std::optional<int64_t> max, Node to);

 private:
  // One character that is not a byte of its own: beyond ASCII, or escaped.
  void AddOther(Node from, Node to);
  Node AfterSpace(Node from) { return builder_.After(from, WhiteSpace()); }
  // The members of an object between { and }, or the items of an array.
  template <typename AddOne>
  Rule List(char open, char close, std::optional<Rule>& rule, const AddOne& add_one);

  AutomatonBuilder& builder_;
  std::optional<Rule> white_space_, string_, other_, value_, object_, array_;
  std::map<std::string, Rule, std::less<>> matching_;
};

}  // namespace crossover::llm::constrain
