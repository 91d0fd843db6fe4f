// Tests (pallets/jinja, tests.py) and the functions that templates find.
#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/chat/jinja_arguments.h"
#include "llm/chat/jinja_characters.h"
#include "llm/chat/jinja_evaluator.h"

namespace crossover::llm::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;

absl::StatusOr<Value> RangeFunction(Arguments arguments) {
  std::vector<int64_t> bounds;
  for (const Value& value : arguments.positional) {
    if (!value.integer())
      return Failure(absl::StrCat("range() takes integers, not ", ToAbsl(value.Kind())));
    bounds.push_back(*value.integer());
  }
  if (bounds.empty() || bounds.size() > 3 || !arguments.named.empty())
    return Failure("range() takes one to three integers");
  const int64_t begin = bounds.size() == 1 ? 0 : bounds[0];
  const int64_t end = bounds.size() == 1 ? bounds[0] : bounds[1];
  const int64_t step = bounds.size() == 3 ? bounds[2] : 1;
  if (step == 0) return Failure("range() takes a step other than 0");
  List list;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (static_cast<int64_t>(list.size()) >= kMaxRange)
      return Failure(absl::StrCat("range() has more than ", kMaxRange, " items"));
    list.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value(std::move(list));
}

absl::StatusOr<Dict> NamedMembers(std::string_view function, Arguments arguments) {
  Dict members;
  for (const Value& value : arguments.positional) {
    if (value.dict() == nullptr)
      return Failure(absl::StrCat(ToAbsl(function), "() takes mappings and named values"));
    for (const auto& [key, member] : value.dict()->items) members.Set(key, member);
  }
  for (auto& [name, value] : arguments.named) members.Set(Text(name), std::move(value));
  return members;
}

absl::StatusOr<Value> NamespaceFunction(Arguments arguments) {
  auto space = std::make_shared<Namespace>();
  ASSIGN_OR_RETURN(space->members, NamedMembers("namespace", std::move(arguments)));
  return Value(std::move(space));
}

absl::StatusOr<Value> DictFunction(Arguments arguments) {
  ASSIGN_OR_RETURN(Dict members, NamedMembers("dict", std::move(arguments)));
  return Value(std::move(members));
}

// The template refuses the conversation.
absl::StatusOr<Value> RaiseException(Arguments arguments) {
  const std::string said =
      arguments.positional.empty() ? "" : std::string(arguments.positional[0].ToText().view());
  return Error(absl::StatusCode::kInvalidArgument, "TEMPLATE_REFUSED",
               absl::StrCat("the model's chat template refuses the conversation: ", said));
}

using Test = absl::StatusOr<bool> (*)(const Value& value, const Value& argument);

template <bool kDefined>
absl::StatusOr<bool> IsDefined(const Value& value, const Value&) {
  return value.is_undefined() != kDefined;
}

absl::StatusOr<bool> IsNone(const Value& value, const Value&) { return value.is_none(); }
absl::StatusOr<bool> IsText(const Value& value, const Value&) { return value.text() != nullptr; }
absl::StatusOr<bool> IsMapping(const Value& value, const Value&) { return value.dict() != nullptr; }
absl::StatusOr<bool> IsBoolean(const Value& value, const Value&) { return value.is_bool(); }
absl::StatusOr<bool> IsInteger(const Value& value, const Value&) { return value.is_integer(); }
absl::StatusOr<bool> IsFloat(const Value& value, const Value&) { return value.is_float(); }
absl::StatusOr<bool> IsNumber(const Value& value, const Value&) {
  return value.number().has_value();
}
absl::StatusOr<bool> IsCallable(const Value& value, const Value&) {
  return value.function() != nullptr;
}
template <bool kTrue>
absl::StatusOr<bool> IsExactly(const Value& value, const Value&) {
  return value.is_bool() && value.Truth() == kTrue;
}
// Python's iter() takes them; a sequence has a length, too.
absl::StatusOr<bool> IsIterable(const Value& value, const Value&) {
  return value.text() != nullptr || value.list() != nullptr || value.dict() != nullptr ||
         value.is_undefined();
}

template <int64_t kRest>
absl::StatusOr<bool> IsParity(const Value& value, const Value&) {
  if (!value.integer()) return Failure("odd and even take an integer");
  return (*value.integer() & 1) == kRest;
}

absl::StatusOr<bool> IsDivisible(const Value& value, const Value& by) {
  ASSIGN_OR_RETURN(const Value rest, Arithmetic("%", value, by));
  return !rest.Truth();
}

template <bool kWanted>
absl::StatusOr<bool> IsEqual(const Value& value, const Value& other) {
  return Equal(value, other) == kWanted;
}

// Whether Compare() gives one of these.
template <int kA, int kB>
absl::StatusOr<bool> IsOrdered(const Value& value, const Value& other) {
  const auto order = Compare(value, other);
  if (!order) {
    return Failure(
        absl::StrCat(ToAbsl(value.Kind()), " and ", ToAbsl(other.Kind()), " have no order"));
  }
  return *order == kA || *order == kB;
}

absl::StatusOr<bool> IsIn(const Value& value, const Value& container) {
  return Contains(container, value);
}

template <Case kCase>
absl::StatusOr<bool> IsCaseTest(const Value& value, const Value&) {
  return HasCase(value.ToText().view(), kCase);
}

struct TestEntry {
  std::string_view name;
  Test holds;
};

constexpr std::array<TestEntry, 36> kTests = {{
    {"defined", IsDefined<true>},
    {"undefined", IsDefined<false>},
    {"none", IsNone},
    {"string", IsText},
    {"mapping", IsMapping},
    {"boolean", IsBoolean},
    {"integer", IsInteger},
    {"float", IsFloat},
    {"number", IsNumber},
    {"callable", IsCallable},
    {"true", IsExactly<true>},
    {"false", IsExactly<false>},
    {"iterable", IsIterable},
    {"sequence", IsIterable},
    {"odd", IsParity<1>},
    {"even", IsParity<0>},
    {"divisibleby", IsDivisible},
    {"eq", IsEqual<true>},
    {"equalto", IsEqual<true>},
    {"==", IsEqual<true>},
    {"sameas", IsEqual<true>},
    {"ne", IsEqual<false>},
    {"!=", IsEqual<false>},
    {"lt", IsOrdered<-1, -1>},
    {"lessthan", IsOrdered<-1, -1>},
    {"<", IsOrdered<-1, -1>},
    {"le", IsOrdered<-1, 0>},
    {"<=", IsOrdered<-1, 0>},
    {"gt", IsOrdered<1, 1>},
    {"greaterthan", IsOrdered<1, 1>},
    {">", IsOrdered<1, 1>},
    {"ge", IsOrdered<0, 1>},
    {">=", IsOrdered<0, 1>},
    {"in", IsIn},
    {"upper", IsCaseTest<Case::kUpper>},
    {"lower", IsCaseTest<Case::kLower>},
}};

}  // namespace

Dict GlobalFunctions() {
  Dict globals;
  for (const Function& function :
       {Function{"range", RangeFunction}, Function{"namespace", NamespaceFunction},
        Function{"dict", DictFunction}, Function{"raise_exception", RaiseException}}) {
    globals.Set(Text(function.name), function);
  }
  return globals;
}

absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value,
                               const Arguments& arguments) {
  const auto test = std::find_if(kTests.begin(), kTests.end(),
                                 [&](const TestEntry& entry) { return entry.name == name; });
  if (test == kTests.end())
    return Failure(absl::StrCat("test 'is ", ToAbsl(name), "' is not supported"));
  return test->holds(value, arguments.positional.empty() ? Value() : arguments.positional[0]);
}

}  // namespace crossover::llm::jinja
