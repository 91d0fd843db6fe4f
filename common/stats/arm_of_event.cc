#include "common/stats/arm_of_event.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/stats/json_read.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::stats {

void ArmOfEvent::AddEvent(bool on_canary, double weight) {
  if (!(weight > 0 && weight < 1)) return;
  for (size_t i = 0; i < kRatios.size(); ++i) {
    double share = weight * kRatios[i] / (1 - weight + weight * kRatios[i]);
    log_products_[i] += on_canary ? std::log(share / weight) : std::log((1 - share) / (1 - weight));
  }
  ++events_;
  canary_events_ += on_canary;
  max_log_e_ = std::max(max_log_e_, LogE());
}

double ArmOfEvent::LogE() const {
  double largest = *std::max_element(log_products_.begin(), log_products_.end());
  double sum = 0;
  for (double log_product : log_products_) sum += std::exp(log_product - largest);
  return largest + std::log(sum / kRatios.size());
}

double ArmOfEvent::PValue() const { return std::min(1.0, std::exp(-max_log_e_)); }

bool ArmOfEvent::Rejects(double alpha) const { return max_log_e_ >= -std::log(alpha); }

nlohmann::json ArmOfEvent::ToJson() const {
  return {{"log_products", log_products_},
          {"events", events_},
          {"canary_events", canary_events_},
          {"max_log_e", max_log_e_}};
}

absl::StatusOr<ArmOfEvent> ArmOfEvent::FromJson(const nlohmann::json& json) {
  ArmOfEvent state;
  std::vector<double> products;
  JsonReader reader(json, "arm_of_event");
  reader.Numbers("log_products", products);
  reader.Integer("events", state.events_);
  reader.Integer("canary_events", state.canary_events_);
  reader.Number("max_log_e", state.max_log_e_);
  RETURN_IF_ERROR(reader.status());
  if (products.size() != kRatios.size()) {
    return Error(absl::StatusCode::kInvalidArgument, "STATISTICS_STATE_INVALID",
                 absl::StrCat("arm_of_event.log_products: expected ", kRatios.size(), " numbers"));
  }
  std::copy(products.begin(), products.end(), state.log_products_.begin());
  return state;
}

}  // namespace crossover::stats
