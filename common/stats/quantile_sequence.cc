#include "common/stats/quantile_sequence.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/stats/json_read.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::stats {
namespace {

constexpr double kWidth =
    0.02;  // of a bin in ln(value): the middle is within 1 % of all its values

int BinOf(double value) {
  return static_cast<int>(std::floor(std::log(std::clamp(value, 1e-9, 1e9)) / kWidth));
}
double LowerEdge(int bin) { return std::exp(bin * kWidth); }

}  // namespace

void QuantileSequence::Add(double value) {
  ++bins_[BinOf(value)];
  ++n_;
}

int QuantileSequence::BinAtRank(double rank) const {
  int64_t seen = 0;
  for (const auto& [bin, count] : bins_) {
    seen += count;
    if (static_cast<double>(seen) >= rank) return bin;
  }
  return bins_.rbegin()->first;
}

Interval QuantileSequence::Current() const {
  Interval interval{.lower = 0,
                    .level = 1 - options_.alpha,
                    .method = "quantile_sequence",
                    .n = n_,
                    .clusters = n_,
                    .anytime_valid = true};
  if (n_ == 0) return interval;
  double t = static_cast<double>(n_);
  double p = options_.p;
  // ln ln(2.1 t) is negative at t = 1 only; the bound holds with it as written.
  double l = (1.4 * std::log(std::log(2.1 * t)) + std::log(10 / options_.alpha)) / t;
  double f = 1.5 * std::sqrt(p * (1 - p) * l) + 0.8 * l;
  interval.point = LowerEdge(BinAtRank(std::ceil(p * t))) * std::exp(kWidth / 2);
  if (p - f > 0) interval.lower = LowerEdge(BinAtRank(std::ceil((p - f) * t)));
  if (p + f < 1) interval.upper = LowerEdge(BinAtRank(std::floor((p + f) * t) + 1) + 1);
  return interval;
}

nlohmann::json QuantileSequence::ToJson() const {
  nlohmann::json bins = nlohmann::json::object();
  for (const auto& [bin, count] : bins_) bins[std::to_string(bin)] = count;
  return {{"p", options_.p}, {"alpha", options_.alpha}, {"bins", bins}};
}

absl::StatusOr<QuantileSequence> QuantileSequence::FromJson(const nlohmann::json& json) {
  QuantileSequence state;
  JsonReader reader(json, "quantile_sequence");
  reader.Number("p", state.options_.p);
  reader.Number("alpha", state.options_.alpha);
  RETURN_IF_ERROR(reader.status());
  auto bad = [](std::string_view key) {
    return Error(absl::StatusCode::kInvalidArgument, "STATISTICS_STATE_INVALID",
                 absl::StrCat("quantile_sequence.bins.", std::string(key),
                              ": expected a bin number and a count"));
  };
  if (!json.contains("bins") || !json["bins"].is_object()) return bad("");
  for (const auto& [key, count] : json["bins"].items()) {
    int bin = 0;
    if (!absl::SimpleAtoi(key, &bin) || !count.is_number_integer() || count.get<int64_t>() < 0)
      return bad(key);
    state.bins_[bin] = count.get<int64_t>();
    state.n_ += count.get<int64_t>();
  }
  return state;
}

bool IsSlower(const QuantileSequence& candidate, const QuantileSequence& baseline, double margin) {
  return candidate.Current().lower > (1 + margin) * baseline.Current().upper;
}

}  // namespace crossover::stats
