#include "common/stats/sequential_mcnemar.h"

#include <algorithm>
#include <cmath>

#include "common/stats/json_read.h"
#include "common/stats/special.h"
#include "common/status/status_macros.h"

namespace crossover::stats {

double McNemarLogE(int64_t b, int64_t c) {
  constexpr double kPrior = 0.5;
  double first = kPrior + static_cast<double>(b);
  double second = kPrior + static_cast<double>(c);
  // I_1/2(second, first) = P(Beta(first, second) > 1/2), taken as that upper tail: 1 - I_1/2(first,
  // second) would cancel when c >> b, and one rounding step there can fire for a strictly better
  // candidate.
  return std::log(2.0) + LogBetaComplement(first, second, 0.5) + LogBeta(first, second) -
         LogBeta(kPrior, kPrior) + static_cast<double>(b + c) * std::log(2.0);
}

void SequentialMcNemar::Add(bool first, bool second) {
  if (first == second) return;
  ++(first ? b_ : c_);
  max_log_e_ = std::max(max_log_e_, LogE());
}

double SequentialMcNemar::LogE() const { return McNemarLogE(b_, c_); }

double SequentialMcNemar::PValue() const { return std::min(1.0, std::exp(-max_log_e_)); }

bool SequentialMcNemar::Rejects(double alpha) const { return max_log_e_ >= -std::log(alpha); }

nlohmann::json SequentialMcNemar::ToJson() const {
  return {{"first_only", b_}, {"second_only", c_}, {"max_log_e", max_log_e_}};
}

absl::StatusOr<SequentialMcNemar> SequentialMcNemar::FromJson(const nlohmann::json& json) {
  SequentialMcNemar state;
  JsonReader reader(json, "sequential_mcnemar");
  reader.Integer("first_only", state.b_);
  reader.Integer("second_only", state.c_);
  reader.Number("max_log_e", state.max_log_e_);
  RETURN_IF_ERROR(reader.status());
  return state;
}

}  // namespace crossover::stats
