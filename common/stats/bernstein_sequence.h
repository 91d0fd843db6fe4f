// A confidence sequence for the mean of bounded observations: an interval that is right at every
// look.
//
// Predictable plug-in empirical Bernstein, Waudby-Smith and Ramdas, "Estimating means of bounded
// random variables by betting", arXiv 2010.09686, Theorem 2. On Y scaled to [0,1]:
//   m_t = (1/2 + sum Y) / (t+1),  s2_t = (1/4 + sum (Y_i - m_i)^2) / (t+1),
//   l_t = min(sqrt(2 ln(2/a) / (s2_{t-1} t ln(1+t))), 1/2),  psi(l) = -ln(1-l) - l,
//   sum l Y / sum l  +-  (ln(2/a) + sum psi(l_i) (Y_i - m_{i-1})^2) / sum l.
// Two-sided at level 1 - a, so each side alone errs with at most a/2.
#pragma once

#include <cstdint>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "common/stats/interval.h"

namespace crossover::stats {

struct BernsteinOptions {
  double alpha = 0.05;
  // The range that observations are bound to by configuration; values outside are clamped (and that
  // biases the mean, so choose the range so that it does not happen).
  double minimum = 0;
  double maximum = 1;
};

// Not thread-safe. O(1) state.
class BernsteinSequence {
 public:
  explicit BernsteinSequence(const BernsteinOptions& options = {});

  void Add(double value);

  int64_t n() const { return n_; }
  double Mean() const;
  // The interval of this moment. Before the first value: the whole range. Its point is the sample
  // mean.
  Interval Current() const;
  // Current() cut with every earlier one: never widens, valid as well. Empty cuts (possible with
  // probability a, or when the mean drifts) give lower > upper; then use Current().
  Interval Running() const;

  nlohmann::json ToJson() const;
  static absl::StatusOr<BernsteinSequence> FromJson(const nlohmann::json& json);

 private:
  double Scale(double unit) const {
    return options_.minimum + unit * (options_.maximum - options_.minimum);
  }

  BernsteinOptions options_;
  int64_t n_ = 0;
  double sum_ = 0;            // of Y
  double squares_ = 0;        // of (Y_i - m_i)^2
  double weights_ = 0;        // of l
  double weighted_ = 0;       // of l Y
  double penalty_ = 0;        // of psi(l_i) (Y_i - m_{i-1})^2
  double running_lower_ = 0;  // on [0,1]
  double running_upper_ = 1;
};

}  // namespace crossover::stats
