#include "llm/constrain/numbers.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace crossover::llm::constrain {

namespace {

std::string Either(const std::vector<std::string>& patterns) {
  if (patterns.empty()) return "";
  return absl::StrCat("(", absl::StrJoin(patterns, "|"), ")");
}

// Digit texts of one length, from `low` to `high`.
std::string SameLength(const std::string& low, const std::string& high) {
  if (low == high) return low;
  const size_t rest = low.size() - 1;
  const std::string nines(rest, '9'), zeros(rest, '0');
  const std::string any = rest == 0 ? "" : absl::StrCat("\\d{", rest, "}");
  if (low[0] == high[0]) return low.substr(0, 1) + SameLength(low.substr(1), high.substr(1));
  // What begins with the first digit of low and of high is limited, unless it is a whole block.
  std::vector<std::string> parts;
  char first = low[0], last = high[0];
  if (low.substr(1) != zeros) {
    parts.push_back(low.substr(0, 1) + SameLength(low.substr(1), nines));
    ++first;
  }
  if (high.substr(1) != nines) {
    parts.push_back(high.substr(0, 1) + SameLength(zeros, high.substr(1)));
    --last;
  }
  if (first <= last)
    parts.push_back(absl::StrCat("[", std::string(1, first), "-", std::string(1, last), "]", any));
  return Either(parts);
}

// 0 <= low <= high.
std::string Naturals(int64_t low, int64_t high) {
  std::vector<std::string> parts;
  int64_t least = 0, most = 9;  // Of so many digits.
  for (int digits = 1; digits <= kMaxDigits; ++digits) {
    const int64_t from = std::max(low, least);
    const int64_t to = std::min(high, most);
    if (from <= to) parts.push_back(SameLength(absl::StrCat(from), absl::StrCat(to)));
    if (digits == kMaxDigits) break;  // The next would not be an int64.
    least = most + 1;
    most = most * 10 + 9;
  }
  return Either(parts);
}

constexpr char kFraction[] = "(\\.\\d{1,9})?";
constexpr char kZeroFraction[] = "(\\.0{1,9})?";
constexpr char kPositiveFraction[] = "\\.\\d{0,8}[1-9]";

// Numbers of at least 0; `high` absent: no limit. "" if there is none.
std::string Magnitudes(NumberBound low, std::optional<NumberBound> high) {
  std::vector<std::string> parts;
  // Whole parts from `first` on may have any fraction.
  int64_t first = low.value;
  const int64_t last = high ? high->value - 1 : kMaxInteger;
  if (low.exclusive) {
    if (low.value <= last) parts.push_back(absl::StrCat(low.value, kPositiveFraction));
    ++first;
  }
  if (first <= last) parts.push_back(Naturals(first, last) + kFraction);
  if (high && !high->exclusive && high->value >= first)
    parts.push_back(absl::StrCat(high->value, kZeroFraction));
  return Either(parts);
}

}  // namespace

std::string IntegerPattern(int64_t low, int64_t high) {
  std::vector<std::string> parts;
  if (low < 0) parts.push_back("-" + Naturals(std::max<int64_t>(1, -high), -low));
  if (high >= 0) parts.push_back(Naturals(std::max<int64_t>(0, low), high));
  return Either(parts);
}

std::string NumberPattern(std::optional<NumberBound> low, std::optional<NumberBound> high) {
  if (!low && !high) return "-?(0|[1-9]\\d{0,17})(\\.\\d{1,18})?([eE][+-]?\\d{1,2})?";
  std::vector<std::string> parts;
  const auto add = [&](const char* sign, const std::string& pattern) {
    if (!pattern.empty()) parts.push_back(sign + pattern);
  };
  const auto minus = [](std::optional<NumberBound> bound) {
    if (bound) bound->value = -bound->value;
    return bound;
  };
  if (!low || low->value < 0) {
    const bool below_zero = high && high->value < 0;
    add("-", Magnitudes(below_zero ? *minus(high) : NumberBound{0, true}, minus(low)));
  }
  if (!high || high->value >= 0) {
    const bool above_zero = low && low->value >= 0;
    add("", Magnitudes(above_zero ? *low : NumberBound{0, false}, high));
  }
  return Either(parts);
}

}  // namespace crossover::llm::constrain
