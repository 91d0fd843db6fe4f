// When an adapter learns its train rows by heart.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "services/trainer_worker/domain/work.h"

namespace crossover::worker {

// One validation. `train_loss` is the mean over the steps since the one before.
struct CurvePoint {
  int64_t step = 0;
  double train_loss = 0;
  double valid_loss = 0;

  bool operator==(const CurvePoint&) const = default;
};

struct OverfittingAlarm {
  std::string rule;     // TRAIN_LOSS or GAP
  std::string message;  // for people
};

// Looks at the last points of a curve:
//   TRAIN_LOSS  the train loss is under 0.2 nats a token (Unsloth's rule of thumb) and the
//               validation loss is not; a task on which both are low is only easy. Not for
//               preferences, whose loss is of another kind.
//   GAP         validation loss minus train loss has grown in each of the last two intervals, and
//               the validation loss is above its best.
// A rule that is in `told` stays silent. At most one alarm a point.
std::optional<OverfittingAlarm> Overfitting(std::span<const CurvePoint> curve, Objective objective,
                                            const std::vector<std::string>& told);

}  // namespace crossover::worker
