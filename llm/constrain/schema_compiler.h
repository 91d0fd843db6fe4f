// From a JSON Schema to rules of an automaton.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/constrain/automaton.h"
#include "llm/constrain/characters.h"
#include "llm/constrain/json_rules.h"
#include "llm/constrain/schema_facts.h"

namespace crossover::llm::constrain {

// Each conjunction of schemas becomes one rule, so that recursion ends. Borrows everything.
class SchemaCompiler {
 public:
  using Node = AutomatonBuilder::Node;
  using Rule = AutomatonBuilder::Rule;

  SchemaCompiler(const SchemaJson& root, AutomatonBuilder& builder, JsonRules& rules)
      : context_{root}, builder_(builder), rules_(rules) {}

  // The rule of the whole schema. Whether anything is allowed is for the builder to find out.
  absl::StatusOr<Rule> Compile();

 private:
  Rule RuleOf(const Conjunction& conjunction);
  absl::Status EmitWaiting();
  absl::Status CheckExclusive();

  absl::Status Emit(const SchemaFacts& facts, Node from, Node to);
  absl::Status EmitValues(const SchemaFacts& facts, Node from, Node to);
  // `texts`: what the string keywords allow, null for all.
  absl::StatusOr<bool> Fits(const SchemaFacts& facts, const CharAutomaton* texts,
                            const SchemaJson& value);
  absl::Status EmitNumber(const SchemaFacts& facts, Node from, Node to);
  absl::Status EmitString(const SchemaFacts& facts, Node from, Node to);
  void EmitArray(const SchemaFacts& facts, Node from, Node to);
  void EmitObject(const SchemaFacts& facts, Node from, Node to);
  // A value as it is, with free white space.
  void EmitExactly(const SchemaJson& value, Node from, Node to);
  Node AfterSpace(Node from) { return builder_.After(from, rules_.WhiteSpace()); }

  FactsContext context_;
  AutomatonBuilder& builder_;
  JsonRules& rules_;
  std::map<std::vector<const SchemaJson*>, Rule> made_;
  std::deque<std::pair<Conjunction, Rule>> waiting_;
};

}  // namespace crossover::llm::constrain
