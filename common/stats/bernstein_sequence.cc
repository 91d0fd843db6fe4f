#include "common/stats/bernstein_sequence.h"

#include <algorithm>
#include <cmath>

#include "common/stats/json_read.h"
#include "common/status/status_macros.h"

namespace crossover::stats {
namespace {

struct Bounds {
  double lower;
  double upper;
};

Bounds BoundsOf(double weighted, double penalty, double weights, double alpha) {
  if (weights <= 0) return {0, 1};
  double centre = weighted / weights;
  double half = (std::log(2 / alpha) + penalty) / weights;
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

}  // namespace

BernsteinSequence::BernsteinSequence(const BernsteinOptions& options) : options_(options) {}

void BernsteinSequence::Add(double value) {
  double y =
      std::clamp((value - options_.minimum) / (options_.maximum - options_.minimum), 0.0, 1.0);
  double mean_before = (0.5 + sum_) / (n_ + 1.0);
  double variance_before = (0.25 + squares_) / (n_ + 1.0);
  ++n_;
  double t = static_cast<double>(n_);
  double lambda = std::min(
      std::sqrt(2 * std::log(2 / options_.alpha) / (variance_before * t * std::log1p(t))), 0.5);
  double psi = -std::log1p(-lambda) - lambda;
  weights_ += lambda;
  weighted_ += lambda * y;
  penalty_ += psi * (y - mean_before) * (y - mean_before);
  sum_ += y;
  double mean = (0.5 + sum_) / (t + 1);
  squares_ += (y - mean) * (y - mean);

  Bounds bounds = BoundsOf(weighted_, penalty_, weights_, options_.alpha);
  running_lower_ = std::max(running_lower_, bounds.lower);
  running_upper_ = std::min(running_upper_, bounds.upper);
}

double BernsteinSequence::Mean() const { return n_ == 0 ? 0 : Scale(sum_ / n_); }

Interval BernsteinSequence::Current() const {
  Bounds bounds = BoundsOf(weighted_, penalty_, weights_, options_.alpha);
  return {.point = Mean(),
          .lower = Scale(bounds.lower),
          .upper = Scale(bounds.upper),
          .level = 1 - options_.alpha,
          .method = "empirical_bernstein",
          .n = n_,
          .clusters = n_,
          .anytime_valid = true};
}

Interval BernsteinSequence::Running() const {
  Interval interval = Current();
  interval.lower = Scale(running_lower_);
  interval.upper = Scale(running_upper_);
  return interval;
}

nlohmann::json BernsteinSequence::ToJson() const {
  return {{"alpha", options_.alpha},
          {"minimum", options_.minimum},
          {"maximum", options_.maximum},
          {"n", n_},
          {"sum", sum_},
          {"squares", squares_},
          {"weights", weights_},
          {"weighted", weighted_},
          {"penalty", penalty_},
          {"running_lower", running_lower_},
          {"running_upper", running_upper_}};
}

absl::StatusOr<BernsteinSequence> BernsteinSequence::FromJson(const nlohmann::json& json) {
  BernsteinSequence state;
  JsonReader reader(json, "bernstein_sequence");
  reader.Number("alpha", state.options_.alpha);
  reader.Number("minimum", state.options_.minimum);
  reader.Number("maximum", state.options_.maximum);
  reader.Integer("n", state.n_);
  reader.Number("sum", state.sum_);
  reader.Number("squares", state.squares_);
  reader.Number("weights", state.weights_);
  reader.Number("weighted", state.weighted_);
  reader.Number("penalty", state.penalty_);
  reader.Number("running_lower", state.running_lower_);
  reader.Number("running_upper", state.running_upper_);
  RETURN_IF_ERROR(reader.status());
  return state;
}

}  // namespace crossover::stats
