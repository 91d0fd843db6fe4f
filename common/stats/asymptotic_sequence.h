// An asymptotic confidence sequence for the mean of unbounded observations (cost, judge scores).
//
// Studentised AsympCS, Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics
// 2024, 10.1214/24-AOS2408:
//   mean +- s sqrt((n r2 + 1) / (n^2 r2) ln((n r2 + 1) / a^2)),  r2 = (-2 ln a + ln(-2 ln a) + 1) /
//   n_opt.
// Asymptotic: it says nothing before 500 observations of which 50 are not zero, and is never the
// tool for rare events.
#pragma once

#include <cstdint>
#include <optional>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "common/stats/interval.h"

namespace crossover::stats {

struct AsymptoticOptions {
  double alpha = 0.05;
  double n_opt = 1000;  // the sample size at which the interval shall be tightest
};

// Not thread-safe. O(1) state (Welford).
class AsymptoticSequence {
 public:
  static constexpr int64_t kMinimumObservations = 500;
  static constexpr int64_t kMinimumNonZero = 50;

  explicit AsymptoticSequence(const AsymptoticOptions& options = {}) : options_(options) {}

  void Add(double value);

  int64_t n() const { return n_; }
  double Mean() const { return mean_; }
  // nullopt until there is enough to speak.
  std::optional<Interval> Current() const;

  nlohmann::json ToJson() const;
  static absl::StatusOr<AsymptoticSequence> FromJson(const nlohmann::json& json);

 private:
  AsymptoticOptions options_;
  int64_t n_ = 0;
  int64_t non_zero_ = 0;
  double mean_ = 0;
  double squares_ = 0;  // sum of squared deviations
};

}  // namespace crossover::stats
