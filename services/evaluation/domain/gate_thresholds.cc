#include "services/evaluation/domain/gate_thresholds.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"

namespace crossover::evaluation {
namespace {

std::vector<std::pair<const char*, double GateThresholds::*>> Fields() {
  using T = GateThresholds;
  return {{"convergence_margin", &T::convergence_margin},
          {"rows_advice", &T::rows_advice},
          {"rows_wait", &T::rows_wait},
          {"rows_good", &T::rows_good},
          {"minimum_agreement", &T::minimum_agreement},
          {"maximum_label_errors", &T::maximum_label_errors},
          {"minimum_coverage", &T::minimum_coverage},
          {"minimum_rows_per_label", &T::minimum_rows_per_label},
          {"label_traffic_share", &T::label_traffic_share},
          {"prompt_stable_days", &T::prompt_stable_days},
          {"minimum_gap", &T::minimum_gap},
          {"maximum_latency_ms", &T::maximum_latency_ms},
          {"maximum_format_errors", &T::maximum_format_errors},
          {"high_tokens_per_month", &T::high_tokens_per_month},
          {"long_prompt_tokens", &T::long_prompt_tokens},
          {"many_examples", &T::many_examples},
          {"requests_per_day", &T::requests_per_day},
          {"spend_per_month", &T::spend_per_month},
          {"low_tokens_per_month", &T::low_tokens_per_month},
          {"very_high_tokens_per_month", &T::very_high_tokens_per_month},
          {"maximum_payback_months", &T::maximum_payback_months},
          {"developer_usd_per_hour", &T::developer_usd_per_hour},
          {"retrainings_per_year_low", &T::retrainings_per_year_low},
          {"retrainings_per_year_high", &T::retrainings_per_year_high}};
}

}  // namespace

std::map<std::string, double> ToMap(const GateThresholds& thresholds) {
  std::map<std::string, double> map;
  for (const auto& [name, member] : Fields()) map[name] = thresholds.*member;
  return map;
}

std::vector<ThresholdOverride> Overridden(const std::map<std::string, double>& used) {
  std::vector<ThresholdOverride> overridden;
  for (const auto& [name, usual] : ToMap(GateThresholds())) {
    auto found = used.find(name);
    if (found != used.end() && found->second != usual)
      overridden.push_back({name, found->second, usual});
  }
  return overridden;
}

absl::StatusOr<GateThresholds> WithOverrides(const std::map<std::string, double>& overrides) {
  GateThresholds thresholds;
  for (const auto& [name, value] : overrides) {
    bool found = false;
    for (const auto& [known, member] : Fields()) {
      if (name != known) continue;
      thresholds.*member = value;
      found = true;
    }
    if (!found) {
      std::string known = absl::StrJoin(
          Fields(), ", ", [](std::string* out, const auto& field) { *out += field.first; });
      return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                   absl::StrCat("threshold '", name, "' is unknown; known are: ", known));
    }
  }
  return thresholds;
}

}  // namespace crossover::evaluation
