// Numbers within bounds, as regular expressions of their decimal digits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace crossover::llm::constrain {

// Numbers of more digits are not written.
inline constexpr int kMaxDigits = 18;
inline constexpr int64_t kMaxInteger = 999'999'999'999'999'999;
// Bounds of numbers with a fraction: with 9 digits after the point, doubles tell them apart.
inline constexpr int64_t kMaxNumberBound = 1'000'000;

// From `low` to `high`, both at most kMaxInteger from 0; low <= high.
std::string IntegerPattern(int64_t low, int64_t high);

struct NumberBound {
  int64_t value = 0;  // At most kMaxNumberBound from 0.
  bool exclusive = false;
};

// Any number without bounds; otherwise numbers without exponent, and 0 is not written as -0. ""
// if there is none.
std::string NumberPattern(std::optional<NumberBound> low, std::optional<NumberBound> high);

}  // namespace crossover::llm::constrain
