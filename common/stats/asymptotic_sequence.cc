#include "common/stats/asymptotic_sequence.h"

#include <cmath>

#include "common/stats/json_read.h"
#include "common/status/status_macros.h"

namespace crossover::stats {

void AsymptoticSequence::Add(double value) {
  ++n_;
  non_zero_ += value != 0;
  double deviation = value - mean_;
  mean_ += deviation / n_;
  squares_ += deviation * (value - mean_);
}

std::optional<Interval> AsymptoticSequence::Current() const {
  if (n_ < kMinimumObservations || non_zero_ < kMinimumNonZero) return std::nullopt;
  double n = static_cast<double>(n_);
  double alpha = options_.alpha;
  double log_alpha = -2 * std::log(alpha);
  double rho2 = (log_alpha + std::log(log_alpha) + 1) / options_.n_opt;
  double deviation = std::sqrt(squares_ / n);
  double spread = n * rho2 + 1;
  double half = deviation * std::sqrt(spread / (n * n * rho2) * std::log(spread / (alpha * alpha)));
  return Interval{.point = mean_,
                  .lower = mean_ - half,
                  .upper = mean_ + half,
                  .level = 1 - alpha,
                  .method = "asymptotic_sequence",
                  .n = n_,
                  .clusters = n_,
                  .anytime_valid = true};
}

nlohmann::json AsymptoticSequence::ToJson() const {
  return {{"alpha", options_.alpha}, {"n_opt", options_.n_opt}, {"n", n_},
          {"non_zero", non_zero_},   {"mean", mean_},           {"squares", squares_}};
}

absl::StatusOr<AsymptoticSequence> AsymptoticSequence::FromJson(const nlohmann::json& json) {
  AsymptoticSequence state;
  JsonReader reader(json, "asymptotic_sequence");
  reader.Number("alpha", state.options_.alpha);
  reader.Number("n_opt", state.options_.n_opt);
  reader.Integer("n", state.n_);
  reader.Integer("non_zero", state.non_zero_);
  reader.Number("mean", state.mean_);
  reader.Number("squares", state.squares_);
  RETURN_IF_ERROR(reader.status());
  return state;
}

}  // namespace crossover::stats
