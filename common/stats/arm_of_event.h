// Harm in a canary, from the arm on which each bad event falls.
//
// If the canary carries a share w of the traffic and errs as often as the rest, a bad event is the
// canary's with probability w, however the common rate drifts. E = mean over k in {1.25, 1.5, 2, 3,
// 5, 10} of the product over events of (p_k/w)^x ((1-p_k)/(1-w))^(1-x), p_k = w k / (1 - w + w k),
// x = 1 for the canary's. Each factor uses the weight in force when the event happened, so the
// product runs on across canary steps; arms are never pooled over different weights.
#pragma once

#include <array>
#include <cstdint>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace crossover::stats {

// Not thread-safe. O(1) state. Under "no more harm than the baseline" P(ever E >= 1/alpha) <=
// alpha.
class ArmOfEvent {
 public:
  static constexpr std::array<double, 6> kRatios = {1.25, 1.5, 2, 3, 5, 10};

  // A bad event while the canary had `weight` of the traffic. A weight outside (0,1) leaves nothing
  // to compare: ignored.
  void AddEvent(bool on_canary, double weight);

  int64_t events() const { return events_; }
  int64_t canary_events() const { return canary_events_; }
  double LogE() const;
  double MaxLogE() const { return max_log_e_; }
  // Always-valid p-value: min(1, 1 / max E).
  double PValue() const;
  // True from the first event at which E >= 1/alpha on.
  bool Rejects(double alpha) const;

  nlohmann::json ToJson() const;
  static absl::StatusOr<ArmOfEvent> FromJson(const nlohmann::json& json);

 private:
  std::array<double, kRatios.size()> log_products_{};
  int64_t events_ = 0;
  int64_t canary_events_ = 0;
  double max_log_e_ = 0;
};

}  // namespace crossover::stats
