#include "common/list/filter.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::list {
namespace {

using Op = Condition::Op;

bool IsWordChar(char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-' || c == '/' || c == '*' ||
         c == ':';
}

// Reads one filter expression from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool AtEnd() {
    SkipSpace();
    return at_ == text_.size();
  }

  absl::StatusOr<std::string> Field() {
    SkipSpace();
    const size_t start = at_;
    while (at_ < text_.size() && IsWordChar(text_[at_]) && text_[at_] != ':' && text_[at_] != '*')
      ++at_;
    if (at_ == start) return Bad("a field's name was expected");
    return std::string(text_.substr(start, at_ - start));
  }

  absl::StatusOr<Op> Operator() {
    SkipSpace();
    static constexpr std::pair<std::string_view, Op> kOperators[] = {
        {"!=", Op::kNotEqual}, {"<=", Op::kLessOrEqual}, {">=", Op::kGreaterOrEqual},
        {"=", Op::kEqual},     {"<", Op::kLess},         {">", Op::kGreater},
        {":", Op::kHas}};
    for (const auto& [symbol, op] : kOperators) {
      if (!Take(symbol)) continue;
      return op;
    }
    return Bad("one of = != < <= > >= : was expected");
  }

  absl::StatusOr<std::string> Value() {
    SkipSpace();
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) return Quoted(text_[at_]);
    const size_t start = at_;
    while (at_ < text_.size() && IsWordChar(text_[at_])) ++at_;
    if (at_ == start) return Bad("a value was expected");
    return std::string(text_.substr(start, at_ - start));
  }

  absl::Status And() {
    SkipSpace();
    if (Take("AND ") || Take("AND\t") || Take("AND\n")) return absl::OkStatus();
    return Bad("AND was expected");
  }

  absl::Status Bad(std::string_view what) const {
    return Error(absl::StatusCode::kInvalidArgument,
                 absl::StrCat("filter position ", at_ + 1, ": ", ToAbsl(what)),
                 {.reason = "FILTER_INVALID", .metadata = {{"position", absl::StrCat(at_ + 1)}}});
  }

 private:
  void SkipSpace() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }

  bool Take(std::string_view token) {
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }

  absl::StatusOr<std::string> Quoted(char quote) {
    std::string value;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        value += text_[++at_];
      } else if (text_[at_] == quote) {
        ++at_;
        return value;
      } else {
        value += text_[at_];
      }
    }
    return Bad("the quoted value does not end");
  }

  std::string_view text_;
  size_t at_ = 0;
};

bool IsKnown(const std::string& field, const std::vector<std::string>& known) {
  return std::any_of(known.begin(), known.end(), [&field](const std::string& name) {
    if (name == field) return true;
    if (!absl::EndsWith(name, ".*")) return false;
    const std::string prefix = name.substr(0, name.size() - 1);
    return field.size() > prefix.size() && absl::StartsWith(field, prefix);
  });
}

int Compare(const std::string& left, const std::string& right) {
  double a = 0;
  double b = 0;
  if (absl::SimpleAtod(left, &a) && absl::SimpleAtod(right, &b)) return a < b ? -1 : a > b ? 1 : 0;
  return left.compare(right);
}

bool Holds(const Condition& condition, const std::optional<std::string>& value) {
  if (!value.has_value()) return condition.op == Op::kNotEqual;
  switch (condition.op) {
    case Op::kEqual:
      return *value == condition.value;
    case Op::kNotEqual:
      return *value != condition.value;
    case Op::kLess:
      return Compare(*value, condition.value) < 0;
    case Op::kLessOrEqual:
      return Compare(*value, condition.value) <= 0;
    case Op::kGreater:
      return Compare(*value, condition.value) > 0;
    case Op::kGreaterOrEqual:
      return Compare(*value, condition.value) >= 0;
    case Op::kHas:
      return condition.value == "*" || *value == condition.value;
  }
  return false;
}

}  // namespace

absl::StatusOr<Filter> ParseFilter(std::string_view text, const std::vector<std::string>& known) {
  Reader reader(text);
  Filter filter;
  while (!reader.AtEnd()) {
    if (!filter.empty()) RETURN_IF_ERROR(reader.And());
    Condition condition;
    ASSIGN_OR_RETURN(condition.field, reader.Field());
    if (!IsKnown(condition.field, known)) {
      return reader.Bad(absl::StrCat(
          "`", condition.field, "` cannot be filtered by; fields: ", absl::StrJoin(known, ", ")));
    }
    ASSIGN_OR_RETURN(condition.op, reader.Operator());
    ASSIGN_OR_RETURN(condition.value, reader.Value());
    filter.push_back(std::move(condition));
  }
  return filter;
}

bool Matches(const Filter& filter,
             const std::function<std::optional<std::string>(const std::string&)>& value_of) {
  return std::all_of(filter.begin(), filter.end(), [&](const Condition& condition) {
    return Holds(condition, value_of(condition.field));
  });
}

std::optional<std::string> EqualTo(const Filter& filter, std::string_view field) {
  for (const Condition& condition : filter) {
    if (condition.field == field && condition.op == Op::kEqual) return condition.value;
  }
  return std::nullopt;
}

bool IsContradiction(const Filter& filter) {
  std::map<std::string_view, std::string_view> values;  // by field
  return std::any_of(filter.begin(), filter.end(), [&](const Condition& condition) {
    return condition.op == Op::kEqual &&
           values.try_emplace(condition.field, condition.value).first->second != condition.value;
  });
}

absl::Status RequireEqualityOnly(const Filter& filter) {
  for (const Condition& condition : filter) {
    if (condition.op == Op::kEqual) continue;
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 absl::StrCat("filter: only `=` is known for ", condition.field));
  }
  return absl::OkStatus();
}

}  // namespace crossover::list
