#include "services/evaluation/domain/return_on_investment.h"

namespace crossover::evaluation {
namespace {

double Saving(const Costs& costs, double retrainings_per_year) {
  return costs.prompt_per_month - costs.tuned_serving_per_month -
         retrainings_per_year * costs.one_retraining / 12 - costs.operations_per_month;
}

double Months(double one_time, double saving) {
  return saving > 0 ? one_time / saving : stats::kInfinity;
}

std::vector<RoiItem> ItemsOf(const Costs& costs, const GateThresholds& thresholds) {
  auto item = [&costs](const char* name, double amount) {
    RoiItem item{.name = name, .amount = amount};
    auto origin = costs.origins.find(name);
    if (origin != costs.origins.end()) {
      item.source = origin->second.source;
      item.explanation = origin->second.value;
    }
    return item;
  };
  return {item("developer_hours", costs.developer_hours * thresholds.developer_usd_per_hour),
          item("labelling", costs.labelling),
          item("sweeps", costs.sweeps),
          item("training", costs.training),
          item("evaluation", costs.evaluation),
          item("shadow", costs.shadow),
          item("opportunity", costs.opportunity),
          item("retraining", costs.one_retraining),
          item("operations", costs.operations_per_month),
          item("prompt_serving", costs.prompt_per_month),
          item("tuned_serving", costs.tuned_serving_per_month)};
}

}  // namespace

ReturnOnInvestment ComputeReturn(const Costs& costs, const GateThresholds& thresholds) {
  ReturnOnInvestment roi;
  roi.items = ItemsOf(costs, thresholds);
  roi.one_time = costs.developer_hours * thresholds.developer_usd_per_hour + costs.labelling +
                 costs.sweeps + costs.training + costs.evaluation + costs.shadow +
                 costs.opportunity;
  double low = thresholds.retrainings_per_year_low;
  double high = thresholds.retrainings_per_year_high;
  roi.monthly_before = costs.prompt_per_month;
  roi.saving_per_month = Saving(costs, (low + high) / 2);
  roi.monthly_after = roi.monthly_before - roi.saving_per_month;
  auto range = [&](double point, double at_low, double at_high) {
    return stats::Interval{.point = point,
                           .lower = at_low,
                           .upper = at_high,
                           .level = 1,
                           .method = "retraining_range"};
  };
  if (roi.saving_per_month > 0) {
    roi.payback_months =
        range(Months(roi.one_time, roi.saving_per_month), Months(roi.one_time, Saving(costs, low)),
              Months(roi.one_time, Saving(costs, high)));
  }
  if (costs.requests_per_month > 0) {
    double requests = costs.requests_per_month;
    roi.saving_per_request = range(roi.saving_per_month / requests, Saving(costs, high) / requests,
                                   Saving(costs, low) / requests);
  }
  return roi;
}

}  // namespace crossover::evaluation
