// Methods of str, dict and list that templates call.
#include <algorithm>
#include <array>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "llm/chat/jinja_arguments.h"
#include "llm/chat/jinja_characters.h"
#include "llm/chat/jinja_evaluator.h"

namespace crossover::llm::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using TextMethod = Result (*)(const Text& text, ArgumentReader& in);

template <Sides kSides>
Result Strip(const Text& text, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const std::string characters, in.TextOr("chars", ""));
  return Value(Stripped(text, characters, kSides));
}

template <Case kCase>
Result ToCase(const Text& text, ArgumentReader&) {
  return Value(InCase(text, kCase));
}

// Runs of white space separate; those at the ends do not count.
List SplitAtSpace(const Text& text, int64_t limit) {
  List parts;
  const std::vector<size_t> starts = CharacterStarts(text.view());
  const auto is_space = [&](size_t i) {
    return AllOf(text.view().substr(starts[i], starts[i + 1] - starts[i]), IsSpace);
  };
  const size_t count = starts.size() - 1;
  for (size_t i = 0; i < count;) {
    if (is_space(i)) {
      ++i;
      continue;
    }
    size_t end = i;
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(Stripped(text.Cut(starts[i], text.size()), "", Sides::kRight));
      break;
    }
    while (end < count && !is_space(end)) ++end;
    parts.push_back(text.Cut(starts[i], starts[end]));
    i = end;
  }
  return parts;
}

Result Split(const Text& text, ArgumentReader& in) {
  const Value separator = in.Or("sep", None{});
  ASSIGN_OR_RETURN(const int64_t limit, in.IntegerOr("maxsplit", -1));
  if (separator.is_none()) return Value(SplitAtSpace(text, limit));
  if (separator.text() == nullptr || separator.text()->empty())
    return Failure("split() takes a separator that is not empty");
  const std::string_view by = separator.text()->view();
  List parts;
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t found = text.view().find(by, begin);
    if (found == std::string_view::npos) break;
    parts.push_back(text.Cut(begin, found));
    begin = found + by.size();
  }
  parts.push_back(text.Cut(begin, text.size()));
  return Value(std::move(parts));
}

Result SplitFromRight(const Text& text, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const std::string by, in.TextOr("sep", ""));
  ASSIGN_OR_RETURN(const int64_t limit, in.IntegerOr("maxsplit", -1));
  if (by.empty()) return Failure("rsplit() takes a separator that is not empty");
  List parts;
  size_t end = text.size();
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t found = text.view().substr(0, end).rfind(by);
    if (found == std::string_view::npos) break;
    parts.push_back(text.Cut(found + by.size(), end));
    end = found;
  }
  parts.push_back(text.Cut(0, end));
  std::reverse(parts.begin(), parts.end());
  return Value(std::move(parts));
}

Result SplitLines(const Text& text, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const bool keep, in.BoolOr("keepends", false));
  List lines;
  size_t begin = 0;
  const std::string_view view = text.view();
  while (begin < view.size()) {
    const size_t end = std::min(view.find_first_of("\n\r\v\f\x1c\x1d\x1e", begin), view.size());
    size_t next = std::min(end + 1, view.size());
    if (end + 1 < view.size() && view[end] == '\r' && view[end + 1] == '\n') ++next;
    lines.push_back(text.Cut(begin, keep ? next : end));
    begin = next;
  }
  return Value(std::move(lines));
}

// A string, or a list of which any will do.
template <bool kStart>
Result HasAffix(const Text& text, ArgumentReader& in) {
  const Value affix = in.Or("affix", Undefined{});
  const auto matches = [&](const Value& value) {
    if (value.text() == nullptr) return false;
    return kStart ? text.view().starts_with(value.text()->view())
                  : text.view().ends_with(value.text()->view());
  };
  if (affix.list() != nullptr) {
    return Value(std::any_of(affix.list()->begin(), affix.list()->end(), matches));
  }
  if (affix.text() == nullptr) return Failure("startswith() and endswith() take a string");
  return Value(matches(affix));
}

template <bool kStart>
Result WithoutAffix(const Text& text, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const std::string affix, in.TextOr("affix", ""));
  const bool has = kStart ? text.view().starts_with(affix) : text.view().ends_with(affix);
  if (!has) return Value(text);
  return Value(kStart ? text.Cut(affix.size(), text.size())
                      : text.Cut(0, text.size() - affix.size()));
}

Result ReplaceMethod(const Text& text, ArgumentReader& in) {
  const Value from = in.Or("old", Undefined{}), to = in.Or("new", Undefined{});
  ASSIGN_OR_RETURN(const int64_t limit, in.IntegerOr("count", -1));
  if (from.text() == nullptr || to.text() == nullptr) return Failure("replace() takes two strings");
  return Replaced(text, *from.text(), *to.text(), limit);
}

template <bool kLast, bool kMustExist>
Result Find(const Text& text, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const std::string wanted, in.TextOr("sub", ""));
  const size_t found = kLast ? text.view().rfind(wanted) : text.view().find(wanted);
  if (found == std::string_view::npos) {
    if (kMustExist) return Failure("index(): the substring is not there");
    return Value(int64_t{-1});
  }
  return Value(static_cast<int64_t>(CharacterStarts(text.view().substr(0, found)).size()) - 1);
}

Result Count(const Text& text, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const std::string wanted, in.TextOr("sub", ""));
  if (wanted.empty()) return Value(static_cast<int64_t>(CharacterStarts(text.view()).size()));
  int64_t count = 0;
  for (size_t at = text.view().find(wanted); at != std::string_view::npos;
       at = text.view().find(wanted, at + wanted.size()))
    ++count;
  return Value(count);
}

Result JoinMethod(const Text& text, ArgumentReader& in) {
  ASSIGN_OR_RETURN(const List parts, Iterate(in.Or("iterable", Undefined{})));
  for (const Value& part : parts) {
    if (part.text() == nullptr)
      return Failure(absl::StrCat("join() takes strings, not ", ToAbsl(part.Kind())));
  }
  return Joined(parts, text);
}

// "{}" and "{0}" only: what is between other braces is refused.
Result Format(const Text& text, ArgumentReader& in) {
  const std::vector<Value> values = in.Rest();
  const std::string_view view = text.view();
  Text out;
  size_t done = 0, next = 0;
  for (size_t at = view.find_first_of("{}"); at != std::string_view::npos;
       at = view.find_first_of("{}", done)) {
    out.Append(text.Cut(done, at));
    const bool doubled = at + 1 < view.size() && view[at + 1] == view[at];
    const size_t close = view.find('}', at);
    if (doubled) {
      out.Append(text.Cut(at, at + 1));
      done = at + 2;
      continue;
    }
    size_t index = next;
    if (view[at] == '}' || close == std::string_view::npos)
      return Failure("format(): a brace stands alone");
    const std::string_view field = view.substr(at + 1, close - at - 1);
    if (field.size() == 1 && field[0] >= '0' && field[0] <= '9') {
      index = static_cast<size_t>(field[0] - '0');
    } else if (!field.empty()) {
      return Failure(absl::StrCat("format(): '{", ToAbsl(field), "}' is not supported"));
    } else {
      ++next;
    }
    if (index >= values.size()) return Failure("format() is given too few values");
    out.Append(values[index].ToText());
    done = close + 1;
  }
  out.Append(text.Cut(done, text.size()));
  return Value(std::move(out));
}

template <bool (*kIs)(char32_t)>
Result AreAll(const Text& text, ArgumentReader&) {
  return Value(AllOf(text.view(), kIs));
}

template <Case kCase>
Result IsCase(const Text& text, ArgumentReader&) {
  return Value(HasCase(text.view(), kCase));
}

struct TextMethodEntry {
  std::string_view name;
  TextMethod call;
};

constexpr std::array<TextMethodEntry, 28> kTextMethods = {{
    {"strip", Strip<Sides::kBoth>},
    {"lstrip", Strip<Sides::kLeft>},
    {"rstrip", Strip<Sides::kRight>},
    {"upper", ToCase<Case::kUpper>},
    {"lower", ToCase<Case::kLower>},
    {"title", ToCase<Case::kTitle>},
    {"capitalize", ToCase<Case::kCapitalized>},
    {"split", Split},
    {"rsplit", SplitFromRight},
    {"splitlines", SplitLines},
    {"startswith", HasAffix<true>},
    {"endswith", HasAffix<false>},
    {"removeprefix", WithoutAffix<true>},
    {"removesuffix", WithoutAffix<false>},
    {"replace", ReplaceMethod},
    {"find", Find<false, false>},
    {"rfind", Find<true, false>},
    {"index", Find<false, true>},
    {"rindex", Find<true, true>},
    {"count", Count},
    {"join", JoinMethod},
    {"format", Format},
    {"isdigit", AreAll<IsDigit>},
    {"isalpha", AreAll<IsAlpha>},
    {"isalnum", AreAll<IsAlphanumeric>},
    {"isspace", AreAll<IsSpace>},
    {"isupper", IsCase<Case::kUpper>},
    {"islower", IsCase<Case::kLower>},
}};

Result CallDictMethod(const Dict& dict, std::string_view name, ArgumentReader& in) {
  List out;
  if (name == "get") {
    const Value key = in.Or("key", Undefined{});
    const Value fallback = in.Or("default", None{});
    const Value* found = key.text() == nullptr ? nullptr : dict.Find(key.text()->view());
    return found == nullptr ? fallback : *found;
  }
  if (name == "copy") return Value(dict);
  for (const auto& [key, value] : dict.items) {
    if (name == "items") {
      out.push_back(List{key, value});
    } else if (name == "keys") {
      out.push_back(key);
    } else if (name == "values") {
      out.push_back(value);
    } else {
      break;
    }
  }
  if (name == "items" || name == "keys" || name == "values") return Value(std::move(out));
  return Failure(absl::StrCat("a mapping has no method '", ToAbsl(name),
                              "'; get, items, keys, values and copy are supported"));
}

Result CallListMethod(const List& list, std::string_view name, ArgumentReader& in) {
  const Value wanted = in.Or("value", Undefined{});
  if (name == "count") {
    return Value(static_cast<int64_t>(std::count_if(
        list.begin(), list.end(), [&](const Value& item) { return Equal(item, wanted); })));
  }
  if (name == "index") {
    const auto found = std::find_if(list.begin(), list.end(),
                                    [&](const Value& item) { return Equal(item, wanted); });
    if (found == list.end()) return Failure("index(): the value is not in the list");
    return Value(static_cast<int64_t>(found - list.begin()));
  }
  return Failure(absl::StrCat("a list has no method '", ToAbsl(name),
                              "' here: templates may not change what they are given"));
}

}  // namespace

absl::StatusOr<Value> CallMethod(const Value& object, std::string_view name, Arguments arguments) {
  ArgumentReader in(name, std::move(arguments));
  absl::StatusOr<Value> result = Value();
  if (object.text() != nullptr) {
    const auto method =
        std::find_if(kTextMethods.begin(), kTextMethods.end(),
                     [&](const TextMethodEntry& entry) { return entry.name == name; });
    if (method == kTextMethods.end())
      return Failure(absl::StrCat("a string has no method '", ToAbsl(name), "' here"));
    result = method->call(*object.text(), in);
  } else if (object.dict() != nullptr) {
    result = CallDictMethod(*object.dict(), name, in);
  } else if (object.list() != nullptr) {
    result = CallListMethod(*object.list(), name, in);
  } else {
    return Failure(absl::StrCat(ToAbsl(object.Kind()), " has no method '", ToAbsl(name), "'"));
  }
  if (result.ok()) RETURN_IF_ERROR(in.Finish());
  return result;
}

}  // namespace crossover::llm::jinja
