// The one shape in which a measured number travels: never a point alone.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace crossover::stats {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// An estimate with its uncertainty. A bound that the data cannot give is infinite, never invented.
struct Interval {
  double point = 0;
  double lower = -kInfinity;
  double upper = kInfinity;
  double level = 0.95;
  // How the bounds were made: "wilson", "newcombe_paired", "clustered_t", "bca",
  // "empirical_bernstein" …
  std::string method;
  // Observations, and the independent groups among them (equal to n where nothing is clustered).
  int64_t n = 0;
  int64_t clusters = 0;
  // True if the bounds hold at every look at the data, not at one planned n alone.
  bool anytime_valid = false;

  bool Contains(double value) const { return lower <= value && value <= upper; }
  friend bool operator==(const Interval&, const Interval&) = default;
};

// Infinite bounds are written as null.
nlohmann::json ToJson(const Interval& interval);
// InvalidArgument if a member is missing or of another type.
absl::StatusOr<Interval> IntervalFromJson(const nlohmann::json& json);

// The whole interval lies above `-margin`: the candidate is worse by less than `margin` (higher is
// better).
bool IsNonInferior(const Interval& candidate_minus_baseline, double margin);
// Two one-sided tests by inclusion: the interval lies inside (-margin, margin). At level 1 - 2a
// this tests at a.
bool IsEquivalent(const Interval& difference, double margin);
bool ExcludesZero(const Interval& difference);

}  // namespace crossover::stats
