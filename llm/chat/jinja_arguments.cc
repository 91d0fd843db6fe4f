#include "llm/chat/jinja_arguments.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "llm/chat/jinja_characters.h"

namespace crossover::llm::jinja {
namespace {}  // namespace

Value ArgumentReader::Or(std::string_view name, Value fallback) {
  if (next_ < arguments_.positional.size()) return arguments_.positional[next_++];
  const auto found = std::find_if(arguments_.named.begin(), arguments_.named.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  if (found == arguments_.named.end()) return fallback;
  Value value = std::move(found->second);
  arguments_.named.erase(found);
  return value;
}

absl::Status ArgumentReader::Wrong(std::string_view name, std::string_view wanted,
                                   const Value& value) const {
  return Failure(absl::StrCat("'", function_, "' takes ", ToAbsl(wanted), " for '", ToAbsl(name),
                              "', not ", ToAbsl(value.Kind())));
}

absl::StatusOr<std::string> ArgumentReader::TextOr(std::string_view name,
                                                   std::string_view fallback) {
  const Value value = Or(name, Value::Of(fallback));
  if (value.is_none()) return std::string(fallback);
  if (value.text() == nullptr) return Wrong(name, "a string", value);
  return std::string(value.text()->view());
}

absl::StatusOr<int64_t> ArgumentReader::IntegerOr(std::string_view name, int64_t fallback) {
  const Value value = Or(name, fallback);
  if (value.is_none()) return fallback;
  if (const auto whole = value.integer()) return *whole;
  return Wrong(name, "an integer", value);
}

absl::StatusOr<bool> ArgumentReader::BoolOr(std::string_view name, bool fallback) {
  return Or(name, fallback).Truth();
}

std::vector<Value> ArgumentReader::Rest() {
  std::vector<Value> rest(arguments_.positional.begin() + static_cast<ptrdiff_t>(next_),
                          arguments_.positional.end());
  next_ = arguments_.positional.size();
  return rest;
}

absl::Status ArgumentReader::Finish() const {
  if (next_ < arguments_.positional.size())
    return Failure(absl::StrCat("'", function_, "' is given too many arguments"));
  if (arguments_.named.empty()) return absl::OkStatus();
  return Failure(
      absl::StrCat("'", function_, "' has no argument '", arguments_.named.front().first, "'"));
}

absl::StatusOr<Value> Replaced(const Text& text, const Text& from, const Text& to, int64_t limit) {
  Text out;
  size_t begin = 0;
  if (from.empty()) {  // Between all characters, as Python does it.
    const std::vector<size_t> starts = CharacterStarts(text.view());
    for (size_t i = 0; i < starts.size(); ++i) {
      if (limit < 0 || static_cast<int64_t>(i) < limit) out.Append(to);
      if (i + 1 < starts.size()) out.Append(text.Cut(starts[i], starts[i + 1]));
      if (out.size() > kMaxText) return Failure("a text becomes too long");
    }
    return Value(std::move(out));
  }
  for (int64_t done = 0; limit < 0 || done < limit; ++done) {
    const size_t found = text.view().find(from.view(), begin);
    if (found == std::string_view::npos) break;
    out.Append(text.Cut(begin, found));
    out.Append(to);
    if (out.size() > kMaxText) return Failure("a text becomes too long");
    begin = found + from.size();
  }
  out.Append(text.Cut(begin, text.size()));
  return Value(std::move(out));
}

absl::StatusOr<Value> Joined(const List& parts, const Text& separator) {
  Text out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.Append(separator);
    out.Append(parts[i].ToText());
    if (out.size() > kMaxText) return Failure("a text becomes too long");
  }
  return Value(std::move(out));
}

}  // namespace crossover::llm::jinja
