#include "llm/chat/jinja_evaluator.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm::jinja {
namespace {

constexpr int64_t kMaxSteps = 2'000'000;
constexpr int64_t kLoopCost = 10;  // `loop` has so many members.
constexpr int kMaxEvaluationDepth = 400;
constexpr int kMaxValueDepth = 400;
constexpr size_t kMaxOutput = size_t{64} << 20;

// Steps that making a value may have taken, beside its own.
int64_t CostOf(const Value& value) {
  if (value.list() != nullptr) return static_cast<int64_t>(value.list()->size() / 8);
  if (value.text() != nullptr) return static_cast<int64_t>(value.text()->size() / 64);
  return 0;
}

// Steps that a filter takes beside those of its result.
int64_t FilterCost(std::string_view name, const Value& value) {
  if (value.list() == nullptr) return CostOf(value);
  const int64_t items = static_cast<int64_t>(value.list()->size());
  // Each item is compared with those before it.
  return name == "unique" ? items * std::max<int64_t>(1, items / 16) : items;
}

// `loop` of item `i`.
Value LoopVariable(const List& items, size_t i) {
  const int64_t index = static_cast<int64_t>(i);
  const int64_t length = static_cast<int64_t>(items.size());
  Dict loop;
  const auto set = [&](const char* name, Value value) {
    loop.items.emplace_back(Text(name), std::move(value));
  };
  set("index", index + 1);
  set("index0", index);
  set("revindex", length - index);
  set("revindex0", length - index - 1);
  set("first", index == 0);
  set("last", index + 1 == length);
  set("length", length);
  set("previtem", i > 0 ? items[i - 1] : Value(Undefined{"loop.previtem"}));
  set("nextitem", i + 1 < items.size() ? items[i + 1] : Value(Undefined{"loop.nextitem"}));
  set("cycle", Function{"loop.cycle", [i](Arguments arguments) -> absl::StatusOr<Value> {
                          if (arguments.positional.empty()) return Failure("loop.cycle is empty");
                          return arguments.positional[i % arguments.positional.size()];
                        }});
  return loop;
}

}  // namespace

absl::Status AtLine(const absl::Status& status, int line) {
  if (status.ok() || absl::StrContains(status.message(), "chat template, line ")) return status;
  return WithContext(status, absl::StrCat("chat template, line ", line));
}

Evaluator::Evaluator(Dict globals) {
  frames_.resize(2);
  for (auto& [name, value] : GlobalFunctions().items) {
    frames_[0].insert_or_assign(std::string(name.view()), std::move(value));
  }
  for (auto& [name, value] : globals.items) {
    frames_[0].insert_or_assign(std::string(name.view()), std::move(value));
  }
}

absl::Status Evaluator::Run(const Body& body) { return RunBody(body).status(); }

absl::Status Evaluator::Step(int line) {
  if (++steps_ <= kMaxSteps) return absl::OkStatus();
  return AtLine(Failure("the template takes too many steps"), line);
}

Value Evaluator::Lookup(std::string_view name) const {
  for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
    const auto found = frame->find(name);
    if (found != frame->end()) return found->second;
  }
  return Undefined{std::string(name)};
}

absl::Status Evaluator::Print(const Text& text, int line) {
  if (output_.size() + text.size() > kMaxOutput)
    return AtLine(Failure("the template writes too much"), line);
  output_.Append(text);
  return absl::OkStatus();
}

absl::StatusOr<Evaluator::Flow> Evaluator::RunBody(const Body& body) {
  if (depth_ >= kMaxEvaluationDepth) return Failure("the template is nested too deeply");
  ++depth_;
  absl::StatusOr<Flow> flow = Flow::kNext;
  for (const Statement& statement : body) {
    flow = RunStatement(statement);
    if (!flow.ok() || *flow != Flow::kNext) break;
  }
  --depth_;
  return flow;
}

absl::StatusOr<Evaluator::Flow> Evaluator::RunStatement(const Statement& statement) {
  RETURN_IF_ERROR(Step(statement.line));
  switch (statement.kind) {
    case StatementKind::kData:
      RETURN_IF_ERROR(Print(Text(statement.text), statement.line));
      return Flow::kNext;
    case StatementKind::kPrint: {
      ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.expression));
      RETURN_IF_ERROR(Print(value.ToText(), statement.line));
      return Flow::kNext;
    }
    case StatementKind::kIf:
      return RunIf(statement);
    case StatementKind::kFor:
      return RunFor(statement);
    case StatementKind::kSet:
      RETURN_IF_ERROR(RunSet(statement));
      return Flow::kNext;
    case StatementKind::kMacro:
      DefineMacro(statement);
      return Flow::kNext;
    case StatementKind::kGeneration: {
      const size_t begin = output_.size();
      ASSIGN_OR_RETURN(const Flow flow, RunBody(statement.body));
      if (captures_ == 0) generations_.emplace_back(begin, output_.size());
      return flow;
    }
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;  // Unreachable.
}

absl::StatusOr<Evaluator::Flow> Evaluator::RunIf(const Statement& statement) {
  for (const auto& [condition, body] : statement.branches) {
    ASSIGN_OR_RETURN(const Value value, Evaluate(*condition));
    if (value.Truth()) return RunBody(body);
  }
  return RunBody(statement.otherwise);
}

absl::StatusOr<List> Evaluator::LoopItems(const Statement& statement) {
  ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.expression));
  absl::StatusOr<List> all = Iterate(value);
  if (!all.ok()) return AtLine(all.status(), statement.line);
  if (statement.condition == nullptr) return all;
  List kept;
  for (Value& item : *all) {
    frames_.emplace_back();
    const absl::Status assigned = Assign(statement.targets, item, statement.line);
    absl::StatusOr<Value> wanted =
        assigned.ok() ? Evaluate(*statement.condition) : absl::StatusOr<Value>(assigned);
    frames_.pop_back();
    if (!wanted.ok()) return wanted.status();
    if (wanted->Truth()) kept.push_back(std::move(item));
  }
  return kept;
}

absl::StatusOr<Evaluator::Flow> Evaluator::RunFor(const Statement& statement) {
  ASSIGN_OR_RETURN(const List items, LoopItems(statement));
  if (items.empty()) return RunBody(statement.otherwise);
  for (size_t i = 0; i < items.size(); ++i) {
    frames_.emplace_back();
    absl::Status status = Assign(statement.targets, items[i], statement.line);
    absl::StatusOr<Flow> flow = Flow::kNext;
    if (status.ok()) status = Step(statement.line);
    steps_ += kLoopCost;
    if (status.ok()) {
      frames_.back()["loop"] = LoopVariable(items, i);
      flow = RunBody(statement.body);
      status = flow.status();
    }
    frames_.pop_back();
    RETURN_IF_ERROR(status);
    if (*flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

absl::Status Evaluator::AssignTo(const Target& target, Value value, int line) {
  if (target.member.empty()) {
    frames_.back()[target.name] = std::move(value);
    return absl::OkStatus();
  }
  const Value object = Lookup(target.name);
  if (object.space() == nullptr) {
    return AtLine(
        Failure(absl::StrCat("'", target.name, ".", target.member, "' cannot be set: '",
                             target.name, "' is ", ToAbsl(object.Kind()), ", not a namespace")),
        line);
  }
  if (value.has_space()) {
    return AtLine(Failure(absl::StrCat("'", target.name, ".", target.member,
                                       "' cannot be set: a namespace cannot hold a namespace")),
                  line);
  }
  object.space()->members.Set(Text(target.member), std::move(value));
  return absl::OkStatus();
}

absl::Status Evaluator::Assign(const std::vector<Target>& targets, Value value, int line) {
  if (targets.size() == 1) return AssignTo(targets[0], std::move(value), line);
  absl::StatusOr<List> values = Iterate(value);
  if (!values.ok() || values->size() != targets.size()) {
    return AtLine(Failure(absl::StrCat(targets.size(), " names cannot be given the parts of ",
                                       ToAbsl(value.Kind()))),
                  line);
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    RETURN_IF_ERROR(AssignTo(targets[i], (*values)[i], line));
  }
  return absl::OkStatus();
}

absl::Status Evaluator::RunSet(const Statement& statement) {
  if (statement.expression != nullptr) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*statement.expression));
    return Assign(statement.targets, std::move(value), statement.line);
  }
  ASSIGN_OR_RETURN(Text text, Captured(statement.body));
  return Assign(statement.targets, std::move(text), statement.line);
}

absl::StatusOr<Text> Evaluator::Captured(const Body& body) {
  Text outer = std::exchange(output_, Text());
  ++captures_;
  const absl::StatusOr<Flow> flow = RunBody(body);
  --captures_;
  Text inner = std::exchange(output_, std::move(outer));
  if (!flow.ok()) return flow.status();
  return inner;
}

void Evaluator::DefineMacro(const Statement& statement) {
  // What a macro sees besides its parameters: what is around its definition, when it is called.
  const size_t frames = frames_.size();
  frames_.back()[statement.text] =
      Function{statement.text, [this, &statement, frames](Arguments arguments) {
                 return CallMacro(statement, frames, std::move(arguments));
               }};
}

absl::StatusOr<Value> Evaluator::CallMacro(const Statement& macro, size_t frames,
                                           Arguments arguments) {
  if (arguments.positional.size() > macro.parameters.size())
    return Failure(absl::StrCat("macro '", macro.text, "' takes ", macro.parameters.size(),
                                " arguments, not ", arguments.positional.size()));
  std::vector<Frame> hidden;
  while (frames_.size() > frames) {
    hidden.push_back(std::move(frames_.back()));
    frames_.pop_back();
  }
  // Fewer than `frames` where the macro outlived the loop it was defined in.
  const size_t visible = frames_.size();
  frames_.emplace_back();
  absl::Status status;
  for (size_t i = 0; i < macro.parameters.size() && status.ok(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    const auto named =
        std::find_if(arguments.named.begin(), arguments.named.end(),
                     [&](const auto& entry) { return entry.first == parameter.name; });
    Value value = Undefined{parameter.name};
    if (i < arguments.positional.size()) {
      value = std::move(arguments.positional[i]);
    } else if (named != arguments.named.end()) {
      value = std::move(named->second);
    } else if (parameter.fallback != nullptr) {
      absl::StatusOr<Value> fallback = Evaluate(*parameter.fallback);
      status = fallback.status();
      if (status.ok()) value = *std::move(fallback);
    }
    frames_.back()[parameter.name] = std::move(value);
  }
  absl::StatusOr<Text> text = status.ok() ? Captured(macro.body) : absl::StatusOr<Text>(status);
  frames_.resize(visible);
  while (!hidden.empty()) {
    frames_.push_back(std::move(hidden.back()));
    hidden.pop_back();
  }
  if (!text.ok()) return text.status();
  return Value(*std::move(text));
}

absl::StatusOr<Value> Evaluator::Evaluate(const Expression& expression) {
  RETURN_IF_ERROR(Step(expression.line));
  if (depth_ >= kMaxEvaluationDepth) return AtLine(Failure("nested too deeply"), expression.line);
  ++depth_;
  absl::StatusOr<Value> value = EvaluateKind(expression);
  --depth_;
  if (!value.ok()) return AtLine(value.status(), expression.line);
  if (value->depth() > kMaxValueDepth)
    return AtLine(Failure("a value is nested too deeply"), expression.line);
  steps_ += CostOf(*value);
  return value;
}

absl::StatusOr<Value> Evaluator::EvaluateKind(const Expression& expression) {
  switch (expression.kind) {
    case ExpressionKind::kConstant:
      return expression.value;
    case ExpressionKind::kName:
      return Lookup(expression.name);
    case ExpressionKind::kList: {
      ASSIGN_OR_RETURN(Arguments parts, EvaluateArguments(expression, 0));
      return Value(std::move(parts.positional));
    }
    case ExpressionKind::kDict:
      return EvaluateDict(expression);
    case ExpressionKind::kAttribute: {
      ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.parts[0]));
      if (object.is_undefined()) {
        return Failure(absl::StrCat("'", ToAbsl(object.undefined_name()),
                                    "' is undefined, so it has no '", expression.name, "'"));
      }
      return Attribute(object, expression.name);
    }
    case ExpressionKind::kItem: {
      ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.parts[0]));
      ASSIGN_OR_RETURN(const Value index, Evaluate(*expression.parts[1]));
      return Item(object, index);
    }
    case ExpressionKind::kSlice:
      return EvaluateSlice(expression);
    case ExpressionKind::kCall:
      return EvaluateCall(expression);
    case ExpressionKind::kFilter: {
      ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0]));
      ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression, 1));
      steps_ += FilterCost(expression.name, value);
      RETURN_IF_ERROR(Step(expression.line));
      return ApplyFilter(expression.name, value, std::move(arguments));
    }
    case ExpressionKind::kTest: {
      ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0]));
      ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expression, 1));
      ASSIGN_OR_RETURN(const bool result, ApplyTest(expression.name, value, arguments));
      return Value(result);
    }
    case ExpressionKind::kUnary:
      return EvaluateUnary(expression);
    case ExpressionKind::kBinary:
      return EvaluateBinary(expression);
    case ExpressionKind::kCompare:
      return EvaluateCompare(expression);
    case ExpressionKind::kCondition: {
      ASSIGN_OR_RETURN(const Value condition, Evaluate(*expression.parts[1]));
      if (condition.Truth()) return Evaluate(*expression.parts[0]);
      if (expression.parts[2] == nullptr) return Value(Undefined{"the missing else"});
      return Evaluate(*expression.parts[2]);
    }
  }
  return Failure("unknown expression");  // Unreachable.
}

absl::StatusOr<Value> Evaluator::EvaluateDict(const Expression& expression) {
  Dict dict;
  for (size_t i = 0; i + 1 < expression.parts.size(); i += 2) {
    ASSIGN_OR_RETURN(const Value key, Evaluate(*expression.parts[i]));
    if (key.text() == nullptr) {
      return Failure(absl::StrCat("a mapping's key is ", ToAbsl(key.Kind()), ", not a string"));
    }
    ASSIGN_OR_RETURN(Value value, Evaluate(*expression.parts[i + 1]));
    dict.Set(*key.text(), std::move(value));
  }
  return Value(std::move(dict));
}

absl::StatusOr<Arguments> Evaluator::EvaluateArguments(const Expression& expression, size_t first) {
  Arguments arguments;
  for (size_t i = first; i < expression.parts.size(); ++i) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*expression.parts[i]));
    arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, part] : expression.named) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*part));
    arguments.named.emplace_back(name, std::move(value));
  }
  return arguments;
}

absl::StatusOr<Value> Evaluator::EvaluateUnary(const Expression& expression) {
  ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0]));
  if (expression.name == "not") return Value(!value.Truth());
  if (const auto whole = value.integer()) {
    return Arithmetic(expression.name, Value(int64_t{0}), Value(*whole));
  }
  if (const auto number = value.number()) {
    return Value(expression.name == "-" ? -*number : *number);
  }
  return Failure(absl::StrCat(ToAbsl(value.Kind()), " has no sign"));
}

absl::StatusOr<Value> Evaluator::EvaluateBinary(const Expression& expression) {
  ASSIGN_OR_RETURN(Value left, Evaluate(*expression.parts[0]));
  if (expression.name == "and") return left.Truth() ? Evaluate(*expression.parts[1]) : left;
  if (expression.name == "or") return left.Truth() ? left : Evaluate(*expression.parts[1]);
  ASSIGN_OR_RETURN(const Value right, Evaluate(*expression.parts[1]));
  if (expression.name == "~") {
    Text text = left.ToText();
    text.Append(right.ToText());
    if (text.size() > kMaxOutput) return Failure("a text becomes too long");
    return Value(std::move(text));
  }
  ASSIGN_OR_RETURN(Value result, Arithmetic(expression.name, left, right));
  return result;
}

absl::StatusOr<Value> Evaluator::EvaluateCompare(const Expression& expression) {
  ASSIGN_OR_RETURN(Value left, Evaluate(*expression.parts[0]));
  for (size_t i = 0; i < expression.operators.size(); ++i) {
    const std::string& op = expression.operators[i];
    ASSIGN_OR_RETURN(Value right, Evaluate(*expression.parts[i + 1]));
    bool holds = false;
    if (op == "==" || op == "!=") {
      holds = Equal(left, right) == (op == "==");
    } else if (op == "in" || op == "not in") {
      steps_ += CostOf(right);
      ASSIGN_OR_RETURN(const bool contains, Contains(right, left));
      holds = contains == (op == "in");
    } else {
      const std::optional<int> order = Compare(left, right);
      if (!order) {
        return Failure(absl::StrCat(ToAbsl(left.Kind()), " and ", ToAbsl(right.Kind()),
                                    " have no order for '", op, "'"));
      }
      holds = op == "<"    ? *order < 0
              : op == "<=" ? *order <= 0
              : op == ">"  ? *order > 0
                           : *order >= 0;
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

absl::StatusOr<Value> Evaluator::EvaluateSlice(const Expression& expression) {
  ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.parts[0]));
  std::vector<Value> bounds(3, Value(None{}));
  for (size_t i = 0; i < 3; ++i) {
    if (expression.parts[i + 1] == nullptr) continue;
    ASSIGN_OR_RETURN(bounds[i], Evaluate(*expression.parts[i + 1]));
  }
  return Slice(object, bounds[0], bounds[1], bounds[2]);
}

absl::StatusOr<Value> Evaluator::EvaluateCall(const Expression& expression) {
  const Expression& callee = *expression.parts[0];
  if (callee.kind == ExpressionKind::kAttribute) {
    ASSIGN_OR_RETURN(const Value object, Evaluate(*callee.parts[0]));
    ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression, 1));
    if (object.is_undefined()) {
      return Failure(absl::StrCat("'", ToAbsl(object.undefined_name()),
                                  "' is undefined, so it has no '", callee.name, "'"));
    }
    const Value member = Attribute(object, callee.name);
    if (member.function() != nullptr) return member.function()->call(std::move(arguments));
    steps_ += CostOf(object);
    return CallMethod(object, callee.name, std::move(arguments));
  }
  ASSIGN_OR_RETURN(const Value function, Evaluate(callee));
  ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression, 1));
  if (function.function() == nullptr) {
    return Failure(
        function.is_undefined()
            ? absl::StrCat("there is no function '", ToAbsl(function.undefined_name()), "'")
            : absl::StrCat(ToAbsl(function.Kind()), " cannot be called"));
  }
  return function.function()->call(std::move(arguments));
}

}  // namespace crossover::llm::jinja
