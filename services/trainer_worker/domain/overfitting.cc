#include "services/trainer_worker/domain/overfitting.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace crossover::worker {
namespace {

constexpr double kLowTrainLoss = 0.2;

double Gap(const CurvePoint& point) { return point.valid_loss - point.train_loss; }

}  // namespace

std::optional<OverfittingAlarm> Overfitting(std::span<const CurvePoint> curve, Objective objective,
                                            const std::vector<std::string>& told) {
  if (curve.empty()) return std::nullopt;
  const auto silent = [&](const char* rule) { return std::ranges::count(told, rule) > 0; };
  const CurvePoint& last = curve.back();
  const bool by_heart = objective != Objective::kPreference && last.train_loss < kLowTrainLoss &&
                        last.valid_loss >= kLowTrainLoss;
  if (by_heart && !silent("TRAIN_LOSS")) {
    return OverfittingAlarm{
        "TRAIN_LOSS",
        absl::StrFormat("step %d: the train loss is %.3f, under 0.2, and the validation loss %.3f: "
                        "the rows are learnt by heart; fewer epochs, a lower learning rate or more "
                        "rows help",
                        last.step, last.train_loss, last.valid_loss)};
  }
  if (curve.size() < 3 || silent("GAP")) return std::nullopt;
  const double before = Gap(curve[curve.size() - 2]), first = Gap(curve[curve.size() - 3]);
  const double best = std::ranges::min_element(curve, {}, &CurvePoint::valid_loss)->valid_loss;
  if (!(Gap(last) > before && before > first && last.valid_loss > best)) return std::nullopt;
  return OverfittingAlarm{
      "GAP", absl::StrFormat("step %d: the validation loss (%.3f, best %.3f) draws away from the "
                             "train loss (%.3f) for the second time in a row; the best adapter is "
                             "kept",
                             last.step, last.valid_loss, best, last.train_loss)};
}

}  // namespace crossover::worker
