// Runs the syntax tree of a template. Private to the interpreter.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/jinja_syntax.h"
#include "llm/chat/jinja_value.h"

namespace crossover::llm::jinja {

// One rendering. Errors are InvalidArgument TEMPLATE_FAILED with the line, from raise_exception
// with the template's own words. Steps, depth and output are bounded, so that no template hangs.
class Evaluator {
 public:
  explicit Evaluator(Dict globals);

  absl::Status Run(const Body& body);

  Text TakeOutput() { return std::move(output_); }
  // Stretches of the output that {% generation %} marks, in order.
  const std::vector<std::pair<size_t, size_t>>& generations() const { return generations_; }

 private:
  enum class Flow { kNext, kBreak, kContinue };
  using Frame = std::map<std::string, Value, std::less<>>;

  absl::StatusOr<Flow> RunBody(const Body& body);
  absl::StatusOr<Flow> RunStatement(const Statement& statement);
  absl::StatusOr<Flow> RunIf(const Statement& statement);
  absl::StatusOr<Flow> RunFor(const Statement& statement);
  absl::Status RunSet(const Statement& statement);
  void DefineMacro(const Statement& statement);
  absl::StatusOr<Value> CallMacro(const Statement& macro, size_t frames, Arguments arguments);
  absl::StatusOr<Text> Captured(const Body& body);
  absl::StatusOr<List> LoopItems(const Statement& statement);
  absl::Status Assign(const std::vector<Target>& targets, Value value, int line);
  absl::Status AssignTo(const Target& target, Value value, int line);
  absl::Status Print(const Text& text, int line);

  absl::StatusOr<Value> Evaluate(const Expression& expression);
  absl::StatusOr<Value> EvaluateKind(const Expression& expression);
  absl::StatusOr<Value> EvaluateUnary(const Expression& expression);
  absl::StatusOr<Value> EvaluateBinary(const Expression& expression);
  absl::StatusOr<Value> EvaluateCompare(const Expression& expression);
  absl::StatusOr<Value> EvaluateSlice(const Expression& expression);
  absl::StatusOr<Value> EvaluateCall(const Expression& expression);
  absl::StatusOr<Value> EvaluateDict(const Expression& expression);
  // parts[first …] and the named ones.
  absl::StatusOr<Arguments> EvaluateArguments(const Expression& expression, size_t first);
  Value Lookup(std::string_view name) const;
  absl::Status Step(int line);

  std::vector<Frame> frames_;
  Text output_;
  std::vector<std::pair<size_t, size_t>> generations_;
  int captures_ = 0;  // Bodies whose output does not go to the output itself.
  int depth_ = 0;
  int64_t steps_ = 0;
};

// The same error with the line it came from, unless it has one.
absl::Status AtLine(const absl::Status& status, int line);

// jinja_operators.cc
absl::StatusOr<Value> Arithmetic(std::string_view op, const Value& a, const Value& b);
absl::StatusOr<bool> Contains(const Value& container, const Value& wanted);
// object.name and object[index]: undefined if it is not there.
Value Attribute(const Value& object, std::string_view name);
absl::StatusOr<Value> Item(const Value& object, const Value& index);
absl::StatusOr<Value> Slice(const Value& object, const Value& begin, const Value& end,
                            const Value& step);
// What a loop goes through: a list, the characters of text, the keys of a mapping.
absl::StatusOr<List> Iterate(const Value& value);

// jinja_library.cc and its siblings: what templates can call, by name.
Dict GlobalFunctions();
absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value, Arguments arguments);
absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value,
                               const Arguments& arguments);
absl::StatusOr<Value> CallMethod(const Value& object, std::string_view name, Arguments arguments);

}  // namespace crossover::llm::jinja
