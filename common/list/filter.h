// A subset of AIP-160: comparisons joined by AND.
//
//   state = "READY" AND row_count >= 10 AND labels.team != ops AND drop_reason : *
//
// Operators =, !=, <, <=, >, >=, and `:` (has: equal, or present for `*`). Values are words,
// numbers or quoted strings with backslash escapes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::list {

struct Condition {
  enum class Op { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kHas };
  std::string field;
  Op op = Op::kEqual;
  std::string value;

  bool operator==(const Condition&) const = default;
};

using Filter = std::vector<Condition>;

// `known` are the fields that may be used; one that ends in `.*` stands for every field below it
// (`labels.*`). InvalidArgument FILTER_INVALID with metadata.position (from 1).
absl::StatusOr<Filter> ParseFilter(std::string_view text, const std::vector<std::string>& known);

// True if all conditions hold. `value_of` gives a field's value, nullopt if absent. Ordering
// compares numbers as numbers when both sides are, else as text. An absent field satisfies only
// `!=`.
bool Matches(const Filter& filter,
             const std::function<std::optional<std::string>(const std::string&)>& value_of);

// The value that `field` must equal, nullopt if the filter says nothing about it. For stores that
// know equality only.
std::optional<std::string> EqualTo(const Filter& filter, std::string_view field);

// True if nothing can pass because a field is to equal two values: AND means both.
bool IsContradiction(const Filter& filter);

// InvalidArgument FILTER_INVALID if a condition is anything but `field = value`.
absl::Status RequireEqualityOnly(const Filter& filter);

}  // namespace crossover::list
