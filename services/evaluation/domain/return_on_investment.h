// What leaving the prompt costs once and saves each month.
//
//   one_time = developer hours x rate + labelling + sweeps + training + evaluation + shadow (+
//   opportunity cost if declared) saving per month = cost(prompt) - cost(tuned serving) - (2..4 x
//   one retraining) / 12 - operations payback = one_time / saving; none if the saving is not
//   positive
// The range of 2 to 4 retrainings a year gives the interval; the point takes 3.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/stats/interval.h"
#include "services/evaluation/domain/evidence.h"
#include "services/evaluation/domain/gate_thresholds.h"
#include "services/evaluation/domain/recommendation.h"

namespace crossover::evaluation {

// A part of one_time (once) or of the months, with where its number comes from.
struct RoiItem {
  std::string name;
  double amount = 0;  // USD
  EvidenceSource source = EvidenceSource::kDefault;
  std::string explanation;
};

// What would turn the verdict over, all else equal.
struct RoiFlip {
  std::string parameter;  // "requests_per_day", "developer_hours"
  double value = 0;
  double flips_at = 0;
  Recommendation recommendation = Recommendation::kWait;
};

// All USD but the hours and requests.
struct Costs {
  double developer_hours = 0;
  double requests_per_month = 0;  // 0 = unknown
  double labelling = 0;
  double sweeps = 0;
  double training = 0;
  double evaluation = 0;
  double shadow = 0;
  double opportunity = 0;
  double prompt_per_month = 0;
  double tuned_serving_per_month = 0;
  double operations_per_month = 0;
  double one_retraining = 0;
  // Origin and words by member name ("training" -> …); absent ones are DEFAULT.
  std::map<std::string, Fact<std::string>> origins;
};

struct ReturnOnInvestment {
  double one_time = 0;
  double monthly_before = 0;
  // Serving, operations and retraining at three retrainings a year.
  double monthly_after = 0;
  double saving_per_month = 0;
  // Absent when the saving is not positive. Its upper bound is infinite when only the optimistic
  // end saves anything.
  std::optional<stats::Interval> payback_months;
  std::optional<stats::Interval> saving_per_request;  // USD, where the volume is known
  std::vector<RoiItem> items;
  std::vector<RoiFlip> flips;

  // Total cost of ownership over six months.
  double SixMonthsTuned() const { return one_time + 6 * monthly_after; }
  double SixMonthsPrompt() const { return 6 * monthly_before; }
};

ReturnOnInvestment ComputeReturn(const Costs& costs, const GateThresholds& thresholds);

}  // namespace crossover::evaluation
