// Operators, items and slices, as Python has them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "llm/chat/jinja_characters.h"
#include "llm/chat/jinja_evaluator.h"

namespace crossover::llm::jinja {
namespace {

constexpr size_t kMaxRepeated = size_t{16} << 20;

absl::Status NoOperator(std::string_view op, const Value& a, const Value& b) {
  const auto kind = [](const Value& value) {
    return value.is_undefined() ? absl::StrCat("'", ToAbsl(value.undefined_name()), "' (undefined)")
                                : std::string(value.Kind());
  };
  return Failure(
      absl::StrCat("'", ToAbsl(op), "' is not possible between ", kind(a), " and ", kind(b)));
}

absl::StatusOr<Value> IntegerArithmetic(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (op == "**") {
    const double power = std::pow(static_cast<double>(a), static_cast<double>(b));
    if (b < 0) return Value(power);
    overflow = !(std::fabs(power) < 9e15);
    result = overflow ? 0 : static_cast<int64_t>(power);
  } else {
    if (b == 0) return Failure("division by zero");
    if (op == "/") return Value(static_cast<double>(a) / static_cast<double>(b));
    overflow = a == std::numeric_limits<int64_t>::min() && b == -1;
    if (!overflow) {
      const int64_t rest = a % b;
      const bool down =
          rest != 0 && (rest < 0) != (b < 0);  // Python rounds towards minus infinity.
      result = op == "//" ? a / b - (down ? 1 : 0) : rest + (down ? b : 0);
    }
  }
  if (overflow) return Failure(absl::StrCat(a, " ", ToAbsl(op), " ", b, " is out of range"));
  return Value(result);
}

absl::StatusOr<Value> FloatArithmetic(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) return Failure("division by zero");
  if (op == "/") return Value(a / b);
  const double quotient = std::floor(a / b);
  return Value(op == "//" ? quotient : a - quotient * b);
}

absl::StatusOr<Value> Repeated(const Text& text, int64_t times) {
  if (times > 0 && text.size() > kMaxRepeated / static_cast<uint64_t>(times))
    return Failure("a repeated text becomes too long");
  Text out;
  for (int64_t i = 0; i < times; ++i) out.Append(text);
  return Value(std::move(out));
}

// Python's slice.indices(): where a slice begins and ends, and its step.
struct Range {
  int64_t begin;
  int64_t end;
  int64_t step;
};

absl::StatusOr<Range> Indices(int64_t length, const Value& begin, const Value& end,
                              const Value& step) {
  const auto bound = [](const Value& value) -> absl::StatusOr<std::optional<int64_t>> {
    if (value.is_none()) return std::optional<int64_t>();
    const auto whole = value.integer();
    if (!whole) return Failure(absl::StrCat("a slice's bound is ", ToAbsl(value.Kind())));
    return whole;
  };
  ASSIGN_OR_RETURN(const auto from, bound(begin));
  ASSIGN_OR_RETURN(const auto to, bound(end));
  ASSIGN_OR_RETURN(const auto by, bound(step));
  Range range{.begin = 0, .end = 0, .step = by.value_or(1)};
  if (range.step == 0) return Failure("a slice's step is 0");
  range.step = std::clamp<int64_t>(range.step, -length - 1, length + 1);
  const int64_t low = range.step > 0 ? 0 : -1;
  const int64_t high = range.step > 0 ? length : length - 1;
  const auto place = [&](int64_t at) {
    return std::clamp(at < 0 ? std::max(at, -length - 1) + length : std::min(at, length), low,
                      high);
  };
  range.begin = from ? place(*from) : (range.step > 0 ? low : high);
  range.end = to ? place(*to) : (range.step > 0 ? high : low);
  return range;
}

}  // namespace

absl::StatusOr<Value> Arithmetic(std::string_view op, const Value& a, const Value& b) {
  const auto x = a.integer(), y = b.integer();
  if (x && y) return IntegerArithmetic(op, *x, *y);
  if (a.number() && b.number()) return FloatArithmetic(op, *a.number(), *b.number());
  if (op == "+" && a.text() != nullptr && b.text() != nullptr) {
    Text text = *a.text();
    text.Append(*b.text());
    if (text.size() > kMaxRepeated) return Failure("a text becomes too long");
    return Value(std::move(text));
  }
  if (op == "+" && a.list() != nullptr && b.list() != nullptr) {
    List list = *a.list();
    list.insert(list.end(), b.list()->begin(), b.list()->end());
    if (list.size() > kMaxRepeated / 16) return Failure("a list becomes too long");
    return Value(std::move(list));
  }
  if (op == "*" && a.text() != nullptr && y) return Repeated(*a.text(), *y);
  if (op == "*" && b.text() != nullptr && x) return Repeated(*b.text(), *x);
  return NoOperator(op, a, b);
}

absl::StatusOr<bool> Contains(const Value& container, const Value& wanted) {
  if (container.text() != nullptr) {
    if (wanted.text() == nullptr)
      return Failure(absl::StrCat(ToAbsl(wanted.Kind()), " cannot be searched for in a string"));
    return container.text()->view().find(wanted.text()->view()) != std::string_view::npos;
  }
  if (container.list() != nullptr) {
    return std::any_of(container.list()->begin(), container.list()->end(),
                       [&](const Value& item) { return Equal(item, wanted); });
  }
  if (container.dict() != nullptr) {
    return wanted.text() != nullptr && container.dict()->Find(wanted.text()->view()) != nullptr;
  }
  if (container.is_undefined()) return false;
  return Failure(absl::StrCat(ToAbsl(container.Kind()), " holds nothing to search"));
}

Value Attribute(const Value& object, std::string_view name) {
  const Dict* members = object.space() != nullptr ? &object.space()->members : object.dict();
  const Value* found = members == nullptr ? nullptr : members->Find(name);
  return found == nullptr ? Value(Undefined{std::string(name)}) : *found;
}

absl::StatusOr<Value> Item(const Value& object, const Value& index) {
  if (object.is_undefined()) {
    return Failure(
        absl::StrCat("'", ToAbsl(object.undefined_name()), "' is undefined, so it has no items"));
  }
  if (index.text() != nullptr) return Attribute(object, index.text()->view());
  const auto at = index.integer();
  const Undefined missing{index.ToText().view().empty() ? "the item"
                                                        : std::string(index.ToText().view())};
  if (!at) return Value(missing);
  if (object.list() != nullptr) {
    const int64_t length = static_cast<int64_t>(object.list()->size());
    const int64_t place = *at < 0 ? *at + length : *at;
    if (place < 0 || place >= length) return Value(missing);
    return (*object.list())[static_cast<size_t>(place)];
  }
  if (object.text() != nullptr) {
    const std::vector<size_t> starts = CharacterStarts(object.text()->view());
    const int64_t length = static_cast<int64_t>(starts.size()) - 1;
    const int64_t place = *at < 0 ? *at + length : *at;
    if (place < 0 || place >= length) return Value(missing);
    return Value(object.text()->Cut(starts[static_cast<size_t>(place)],
                                    starts[static_cast<size_t>(place) + 1]));
  }
  return Value(missing);
}

absl::StatusOr<Value> Slice(const Value& object, const Value& begin, const Value& end,
                            const Value& step) {
  if (object.list() != nullptr) {
    const List& list = *object.list();
    ASSIGN_OR_RETURN(const Range range,
                     Indices(static_cast<int64_t>(list.size()), begin, end, step));
    List out;
    for (int64_t i = range.begin; range.step > 0 ? i < range.end : i > range.end; i += range.step)
      out.push_back(list[static_cast<size_t>(i)]);
    return Value(std::move(out));
  }
  if (object.text() == nullptr)
    return Failure(absl::StrCat(ToAbsl(object.Kind()), " cannot be sliced"));
  const Text& text = *object.text();
  const std::vector<size_t> starts = CharacterStarts(text.view());
  ASSIGN_OR_RETURN(const Range range,
                   Indices(static_cast<int64_t>(starts.size()) - 1, begin, end, step));
  if (range.step == 1) {
    if (range.begin >= range.end) return Value(Text());
    return Value(
        text.Cut(starts[static_cast<size_t>(range.begin)], starts[static_cast<size_t>(range.end)]));
  }
  Text out;
  for (int64_t i = range.begin; range.step > 0 ? i < range.end : i > range.end; i += range.step)
    out.Append(text.Cut(starts[static_cast<size_t>(i)], starts[static_cast<size_t>(i) + 1]));
  return Value(std::move(out));
}

absl::StatusOr<List> Iterate(const Value& value) {
  if (value.list() != nullptr) return *value.list();
  if (value.is_undefined()) return List();
  List out;
  if (value.dict() != nullptr) {
    for (const auto& [key, member] : value.dict()->items) out.push_back(key);
    return out;
  }
  if (value.text() != nullptr) {
    const std::vector<size_t> starts = CharacterStarts(value.text()->view());
    for (size_t i = 0; i + 1 < starts.size(); ++i)
      out.push_back(value.text()->Cut(starts[i], starts[i + 1]));
    return out;
  }
  return Failure(absl::StrCat(ToAbsl(value.Kind()), " is nothing to go through"));
}

}  // namespace crossover::llm::jinja
