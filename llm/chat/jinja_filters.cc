// Filters (pallets/jinja, filters.py), and tojson as transformers defines it.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "llm/chat/jinja_arguments.h"
#include "llm/chat/jinja_characters.h"
#include "llm/chat/jinja_evaluator.h"

namespace crossover::llm::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Filter = Result (*)(const Value& value, ArgumentReader& in);

// "a.b.0" of an item, as map(attribute=…) and selectattr read it.
absl::StatusOr<Value> AttributePath(const Value& item, std::string_view path) {
  Value value = item;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    int64_t index = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool number = parsed.ec == std::errc() && parsed.ptr == name.data() + name.size();
    ASSIGN_OR_RETURN(value, Item(value, number ? Value(index) : Value::Of(name)));
  }
  return value;
}

Result Trim(const Value& value, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const std::string characters, in.TextOr("chars", ""));
  return Value(Stripped(value.ToText(), characters, Sides::kBoth));
}

template <Case kCase>
Result FilterToCase(const Value& value, ArgumentReader&) {
  return Value(InCase(value.ToText(), kCase));
}

Result Length(const Value& value, ArgumentReader&) {
  if (value.text() != nullptr)
    return Value(static_cast<int64_t>(CharacterStarts(value.text()->view()).size()) - 1);
  ASSIGN_OR_RETURN(const List items, Iterate(value));
  return Value(static_cast<int64_t>(items.size()));
}

template <bool kFirst>
Result End(const Value& value, ArgumentReader&) {
  ASSIGN_OR_RETURN(const List items, Iterate(value));
  if (items.empty()) return Value(Undefined{kFirst ? "the first item" : "the last item"});
  return kFirst ? items.front() : items.back();
}

Result Join(const Value& value, ArgumentReader& in) {
  const Value separator = in.Or("d", Value::Of(""));
  const Value attribute = in.Or("attribute", None{});
  ASSIGN_OR_RETURN(List items, Iterate(value));
  if (attribute.text() != nullptr) {
    for (Value& item : items) {
      ASSIGN_OR_RETURN(item, AttributePath(item, attribute.text()->view()));
    }
  }
  return Joined(items, separator.ToText());
}

Result ReplaceFilter(const Value& value, ArgumentReader& in) {
  const Value from = in.Or("old", Undefined{}), to = in.Or("new", Undefined{});
  ASSIGN_OR_RETURN(const int64_t limit, in.IntegerOr("count", -1));
  if (from.text() == nullptr || to.text() == nullptr) return Failure("replace takes two strings");
  return Replaced(value.ToText(), *from.text(), *to.text(), limit);
}

Result Default(const Value& value, ArgumentReader& in) {
  const Value fallback = in.Or("default_value", Value::Of(""));
  ASSIGN_OR_RETURN(const bool falsy, in.BoolOr("boolean", false));
  return value.is_undefined() || (falsy && !value.Truth()) ? fallback : value;
}

Result ToJsonFilter(const Value& value, ArgumentReader& in) {
  JsonStyle style;
  ASSIGN_OR_RETURN(style.ascii, in.BoolOr("ensure_ascii", false));
  const Value indent = in.Or("indent", None{});
  if (!indent.is_none()) {
    style.indent = indent.integer();
    if (!style.indent || *style.indent < 0 || *style.indent > 32)
      return Failure("tojson takes an indent from 0 to 32");
  }
  const Value separators = in.Or("separators", None{});
  if (!separators.is_none()) return Failure("tojson with separators is not supported");
  ASSIGN_OR_RETURN(style.sort_keys, in.BoolOr("sort_keys", false));
  ASSIGN_OR_RETURN(Text text, ToJson(value, style));
  return Value(std::move(text));
}

Result Items(const Value& value, ArgumentReader&) {
  if (value.is_undefined()) return Value(List());
  if (value.dict() == nullptr)
    return Failure(absl::StrCat("items takes a mapping, not ", ToAbsl(value.Kind())));
  return CallMethod(value, "items", {});
}

Result ToList(const Value& value, ArgumentReader&) {
  ASSIGN_OR_RETURN(List items, Iterate(value));
  return Value(std::move(items));
}

Result ToString(const Value& value, ArgumentReader&) { return Value(value.ToText()); }

// The whole text as a number, but for spaces around it.
std::optional<double> NumberIn(const Text& text) {
  const Text stripped = Stripped(text, "", Sides::kBoth);
  const std::string_view view = stripped.view();
  double number = 0;
  const auto parsed = std::from_chars(view.begin(), view.end(), number);
  if (view.empty() || parsed.ptr != view.end()) return std::nullopt;
  return number;
}

Result ToInteger(const Value& value, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const int64_t fallback, in.IntegerOr("default", 0));
  if (const auto whole = value.integer()) return Value(*whole);
  double number = 0;
  if (value.is_float()) {
    number = *value.number();
  } else if (value.text() != nullptr) {
    const std::optional<double> parsed = NumberIn(*value.text());
    if (!parsed) return Value(fallback);
    number = *parsed;
  } else {
    return Value(fallback);
  }
  return std::fabs(number) < 9e18 ? Value(static_cast<int64_t>(number)) : Value(fallback);
}

Result ToFloat(const Value& value, ArgumentReader& in) {
  const Value fallback = in.Or("default", 0.0);
  if (value.number()) return Value(*value.number());
  if (value.text() == nullptr) return fallback;
  const std::optional<double> number = NumberIn(*value.text());
  return number ? Value(*number) : fallback;
}

Result Absolute(const Value& value, ArgumentReader&) {
  if (const auto whole = value.integer())
    return *whole < 0 ? Arithmetic("-", Value(int64_t{0}), Value(*whole)) : Value(*whole);
  if (value.number()) return Value(std::fabs(*value.number()));
  return Failure(absl::StrCat("abs takes a number, not ", ToAbsl(value.Kind())));
}

Result Round(const Value& value, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const int64_t precision, in.IntegerOr("precision", 0));
  ASSIGN_OR_RETURN(const std::string method, in.TextOr("method", "common"));
  if (!value.number() || precision < 0 || precision > 15)
    return Failure("round takes a number and a precision from 0 to 15");
  const double factor = std::pow(10.0, static_cast<double>(precision));
  const double scaled = *value.number() * factor;
  // Python's round() goes to even.
  const double whole = method == "ceil"    ? std::ceil(scaled)
                       : method == "floor" ? std::floor(scaled)
                                           : std::nearbyint(scaled);
  return Value(whole / factor);
}

// select, reject and their siblings on attributes: by a test, or by truth.
template <bool kKeep, bool kAttribute>
Result Select(const Value& value, ArgumentReader& in) {
  List items;
  if (value.Truth()) {  // none has no items, either.
    ASSIGN_OR_RETURN(items, Iterate(value));
  }
  std::string path;
  if (kAttribute) {
    ASSIGN_OR_RETURN(path, in.TextOr("attribute", ""));
  }
  ASSIGN_OR_RETURN(const std::string test, in.TextOr("test", ""));
  const Arguments arguments{in.Rest(), {}};
  List kept;
  for (const Value& item : items) {
    Value subject = item;
    if (kAttribute) {
      ASSIGN_OR_RETURN(subject, AttributePath(item, path));
    }
    bool holds = subject.Truth();
    if (!test.empty()) {
      ASSIGN_OR_RETURN(holds, ApplyTest(test, subject, arguments));
    }
    if (holds == kKeep) kept.push_back(item);
  }
  return Value(std::move(kept));
}

Result Map(const Value& value, ArgumentReader& in) {
  List items;
  if (value.Truth()) {
    ASSIGN_OR_RETURN(items, Iterate(value));
  }
  // map('upper') applies a filter, map(attribute='x') takes a part.
  const Value attribute = in.Or("attribute", Undefined{});
  const bool by_name = !in.positional_taken();
  const Value fallback = in.Or("default", Undefined{});
  if (attribute.text() == nullptr) return Failure("map takes a filter's name or attribute=");
  const std::string name(attribute.text()->view());
  const std::vector<Value> rest = in.Rest();
  size_t bytes = 0;
  for (Value& item : items) {
    if (by_name) {
      ASSIGN_OR_RETURN(item, AttributePath(item, name));
      if (item.is_undefined()) item = fallback;
    } else {
      Arguments arguments{rest, {}};
      if (!fallback.is_undefined())
        arguments.positional.insert(arguments.positional.begin(), fallback);
      ASSIGN_OR_RETURN(item, ApplyFilter(name, item, std::move(arguments)));
      if (item.text() != nullptr) bytes += item.text()->size();
      if (bytes > kMaxText) return Failure("the texts of a list become too long");
    }
  }
  return Value(std::move(items));
}

Result Sort(const Value& value, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const bool reverse, in.BoolOr("reverse", false));
  ASSIGN_OR_RETURN(const bool case_sensitive, in.BoolOr("case_sensitive", false));
  ASSIGN_OR_RETURN(const std::string path, in.TextOr("attribute", ""));
  ASSIGN_OR_RETURN(const List items, Iterate(value));
  std::vector<std::pair<Value, Value>> keyed;  // key, item
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(Value key, AttributePath(item, path));
    if (key.text() != nullptr && !case_sensitive) key = InCase(*key.text(), Case::kLower);
    if (!keyed.empty() && !Compare(keyed.front().first, key))
      return Failure("sort: the items have no order");
    keyed.emplace_back(std::move(key), item);
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? Compare(b.first, a.first).value_or(0) < 0
                   : Compare(a.first, b.first).value_or(0) < 0;
  });
  List sorted;
  for (auto& [key, item] : keyed) sorted.push_back(std::move(item));
  return Value(std::move(sorted));
}

Result DictSort(const Value& value, ArgumentReader&) {
  if (value.dict() == nullptr) return Failure("dictsort takes a mapping");
  auto items = value.dict()->items;
  std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
    return InCase(a.first, Case::kLower).view() < InCase(b.first, Case::kLower).view();
  });
  List out;
  for (const auto& [key, member] : items) out.push_back(List{key, member});
  return Value(std::move(out));
}

Result Reverse(const Value& value, ArgumentReader&) {
  ASSIGN_OR_RETURN(List items, Iterate(value));
  std::reverse(items.begin(), items.end());
  if (value.text() != nullptr) return Joined(items, Text());
  return Value(std::move(items));
}

Result Unique(const Value& value, ArgumentReader&) {
  ASSIGN_OR_RETURN(const List items, Iterate(value));
  List out;
  for (const Value& item : items) {
    const bool seen =
        std::any_of(out.begin(), out.end(), [&](const Value& other) { return Equal(item, other); });
    if (!seen) out.push_back(item);
  }
  return Value(std::move(out));
}

template <bool kMax>
Result Extreme(const Value& value, ArgumentReader&) {
  ASSIGN_OR_RETURN(const List items, Iterate(value));
  if (items.empty()) return Value(Undefined{kMax ? "the maximum" : "the minimum"});
  Value best = items.front();
  for (const Value& item : items) {
    const auto order = Compare(item, best);
    if (!order) return Failure("min and max: the items have no order");
    if (kMax ? *order > 0 : *order < 0) best = item;
  }
  return best;
}

Result Sum(const Value& value, ArgumentReader&) {
  ASSIGN_OR_RETURN(const List items, Iterate(value));
  Value sum(int64_t{0});
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(sum, Arithmetic("+", sum, item));
  }
  return sum;
}

Result Indent(const Value& value, ArgumentReader& in) {
  const Value width = in.Or("width", int64_t{4});
  ASSIGN_OR_RETURN(const bool first, in.BoolOr("first", false));
  ASSIGN_OR_RETURN(const bool blank, in.BoolOr("blank", false));
  const int64_t spaces = width.integer().value_or(-1);
  if (width.text() == nullptr && (spaces < 0 || spaces > 256))
    return Failure("indent takes a width from 0 to 256, or a string");
  const Text prefix =
      width.text() != nullptr ? *width.text() : Text(std::string(static_cast<size_t>(spaces), ' '));
  const Text text = value.ToText();
  Text out;
  size_t begin = 0;
  for (bool is_first = true; begin <= text.size(); is_first = false) {
    const size_t end = std::min(text.view().find('\n', begin), text.size());
    if (!is_first) out.Append("\n", kTemplate);
    if ((is_first && first) || (!is_first && (blank || end > begin))) out.Append(prefix);
    out.Append(text.Cut(begin, end));
    if (out.size() > kMaxText) return Failure("a text becomes too long");
    begin = end + 1;
  }
  return Value(std::move(out));
}

Result Escape(const Value& value, ArgumentReader&) {
  return Value(value.ToText().Mapped([](std::string_view run) {
    std::string out;
    for (const char c : run) {
      if (c == '&') {
        out += "&amp;";
      } else if (c == '<') {
        out += "&lt;";
      } else if (c == '>') {
        out += "&gt;";
      } else if (c == '"') {
        out += "&#34;";
      } else if (c == '\'') {
        out += "&#39;";
      } else {
        out += c;
      }
    }
    return out;
  }));
}

struct FilterEntry {
  std::string_view name;
  Filter apply;
};

constexpr std::array<FilterEntry, 38> kFilters = {{
    {"trim", Trim},
    {"upper", FilterToCase<Case::kUpper>},
    {"lower", FilterToCase<Case::kLower>},
    {"title", FilterToCase<Case::kTitle>},
    {"capitalize", FilterToCase<Case::kCapitalized>},
    {"length", Length},
    {"count", Length},
    {"first", End<true>},
    {"last", End<false>},
    {"join", Join},
    {"replace", ReplaceFilter},
    {"default", Default},
    {"d", Default},
    {"tojson", ToJsonFilter},
    {"items", Items},
    {"list", ToList},
    {"string", ToString},
    {"safe", ToString},
    {"int", ToInteger},
    {"float", ToFloat},
    {"abs", Absolute},
    {"round", Round},
    {"select", Select<true, false>},
    {"reject", Select<false, false>},
    {"selectattr", Select<true, true>},
    {"rejectattr", Select<false, true>},
    {"map", Map},
    {"sort", Sort},
    {"dictsort", DictSort},
    {"reverse", Reverse},
    {"unique", Unique},
    {"min", Extreme<false>},
    {"max", Extreme<true>},
    {"sum", Sum},
    {"indent", Indent},
    {"escape", Escape},
    {"e", Escape},
    {"forceescape", Escape},
}};

}  // namespace

absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value, Arguments arguments) {
  const auto filter = std::find_if(kFilters.begin(), kFilters.end(),
                                   [&](const FilterEntry& entry) { return entry.name == name; });
  if (filter == kFilters.end())
    return Failure(absl::StrCat("filter '", ToAbsl(name), "' is not supported"));
  ArgumentReader in(name, std::move(arguments));
  ASSIGN_OR_RETURN(Value result, filter->apply(value, in));
  RETURN_IF_ERROR(in.Finish());
  return result;
}

}  // namespace crossover::llm::jinja
