// Every number the gate holds evidence against. Defaults are the project's; all of them are
// configuration and are printed with the verdict.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace crossover::evaluation {

struct GateThresholds {
  // Necessary.
  double convergence_margin = 0.02;  // last two iterations' gain lies inside ± this
  double rows_advice = 50;           // below: no training advice at all
  double rows_wait = 200;            // below: WAIT
  double rows_good = 1000;           // below: go with a warning
  double minimum_agreement = 0.67;  // Krippendorff's alpha or Cohen's kappa, where two labels exist
  double maximum_label_errors = 0.05;
  double minimum_coverage =
      0.90;  // inputs nearer to a training row than the 95th percentile inside training
  double minimum_rows_per_label = 10;  // for every label with at least…
  double label_traffic_share = 0.02;   // …this share of traffic
  double prompt_stable_days = 14;
  // Sufficient.
  double minimum_gap = 0.05;  // a gap below this is not worth closing by training
  double maximum_latency_ms = 600;
  double maximum_format_errors = 0.05;
  double high_tokens_per_month = 5e6;
  double long_prompt_tokens = 2000;
  double many_examples = 5;
  double requests_per_day = 50;
  double spend_per_month = 200;  // USD, together with requests_per_day
  // Decision.
  double low_tokens_per_month = 1e6;
  double very_high_tokens_per_month = 10e6;
  double maximum_payback_months = 3;
  // Return.
  double developer_usd_per_hour = 150;
  double retrainings_per_year_low = 2;
  double retrainings_per_year_high = 4;
};

// Name -> value, in the order above's names sorted; what is printed.
std::map<std::string, double> ToMap(const GateThresholds& thresholds);

struct ThresholdOverride {
  std::string name;
  double value = 0;
  double default_value = 0;
};
// Those of `used` (as ToMap gives them) that are not the default.
std::vector<ThresholdOverride> Overridden(const std::map<std::string, double>& used);

// Sets the named thresholds over the defaults. InvalidArgument names an unknown one.
absl::StatusOr<GateThresholds> WithOverrides(const std::map<std::string, double>& overrides);

}  // namespace crossover::evaluation
