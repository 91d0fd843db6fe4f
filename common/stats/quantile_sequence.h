// A quantile of a latency, watched as it grows, and the comparison of two.
//
// Howard and Ramdas, "Sequential estimation of quantiles", arXiv 1906.09712, the closed form of
// equation (1): with
//   l(t) = (1.4 ln ln(2.1 t) + ln(10/a)) / t,  f(t) = 1.5 sqrt(p(1-p) l(t)) + 0.8 l(t),
// the true p-quantile lies between the empirical (p - f)- and (p + f)-quantiles at all t at once
// with probability 1 - a. Values are kept in a histogram of relative width 1 %; bounds are read
// from the outer edges of its bins, so they stay valid.
#pragma once

#include <cstdint>
#include <map>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "common/stats/interval.h"

namespace crossover::stats {

struct QuantileOptions {
  double p = 0.5;
  double alpha = 0.05;
};

// Not thread-safe. State: at most about 2,000 bins between 1e-9 and 1e9; values outside are put at
// these ends.
class QuantileSequence {
 public:
  explicit QuantileSequence(const QuantileOptions& options = {}) : options_(options) {}

  // `value` > 0, in any unit (seconds by custom).
  void Add(double value);

  int64_t n() const { return n_; }
  // Its point is the middle of the bin of the empirical quantile; bounds that the data cannot give
  // yet are 0 and infinity.
  Interval Current() const;

  nlohmann::json ToJson() const;
  static absl::StatusOr<QuantileSequence> FromJson(const nlohmann::json& json);

 private:
  // The bin of the smallest value whose rank is at least `rank`.
  int BinAtRank(double rank) const;

  QuantileOptions options_;
  int64_t n_ = 0;
  std::map<int, int64_t> bins_;
};

// candidate > (1 + margin) * baseline at this quantile, whenever looked at; errs with probability
// at most the sum of the two sequences' alphas.
bool IsSlower(const QuantileSequence& candidate, const QuantileSequence& baseline, double margin);

}  // namespace crossover::stats
