// The syntax tree of a Jinja template and the parser that makes it (pallets/jinja, parser.py).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/jinja_value.h"

namespace crossover::llm::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;

enum class ExpressionKind {
  kConstant,   // `value`
  kName,       // `name`
  kList,       // `parts`
  kDict,       // `parts`: key, value, key, value …
  kAttribute,  // parts[0].name
  kItem,       // parts[0][parts[1]]
  kSlice,      // parts[0][parts[1]:parts[2]:parts[3]]; the last three may be null
  kCall,       // parts[0](parts[1] …, named …)
  kFilter,     // parts[0] | name(parts[1] …, named …)
  kTest,       // parts[0] is name(parts[1] …)
  kUnary,      // name: "-", "+" or "not"
  kBinary,     // parts[0] name parts[1]: arithmetic, "~", "and", "or"
  kCompare,    // parts[0] operators[0] parts[1] operators[1] parts[2] …
  kCondition,  // parts[0] if parts[1] else parts[2], which may be null
};

struct Expression {
  ExpressionKind kind = ExpressionKind::kConstant;
  int line = 0;
  Value value;
  std::string name;
  std::vector<ExpressionPtr> parts;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> operators;
};

struct Statement;
using Body = std::vector<Statement>;

enum class StatementKind {
  kData,        // `text`
  kPrint,       // `expression`
  kIf,          // branches[i].first ? branches[i].second : …, otherwise `otherwise`
  kFor,         // for `targets` in `expression` if `condition`: `body`, else `otherwise`
  kSet,         // `targets` = `expression`; or, without one, what `body` prints
  kMacro,       // `text`(parameters): `body`
  kGeneration,  // `body`, which the assistant says
  kBreak,
  kContinue,
};

struct Parameter {
  std::string name;
  ExpressionPtr fallback;  // null: undefined
};

// What a `set` or `for` assigns to: a variable, or a namespace's member.
struct Target {
  std::string name;
  std::string member;  // "" for a variable.
};

struct Statement {
  StatementKind kind = StatementKind::kData;
  int line = 0;
  std::string text;
  ExpressionPtr expression;
  ExpressionPtr condition;
  std::vector<Target> targets;
  std::vector<Parameter> parameters;
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body body;
  Body otherwise;
};

// TEMPLATE_INVALID, with the line, for what is no Jinja; Unimplemented TEMPLATE_UNSUPPORTED for
// Jinja that this interpreter leaves out (inheritance, includes, call and filter blocks, …), by
// name.
absl::StatusOr<Body> Parse(std::string_view source);

}  // namespace crossover::llm::jinja
