#include "services/training_scheduler/domain/loss_curves.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

namespace crossover::scheduler {
namespace {

constexpr size_t kSpikeWindow = 20;
constexpr size_t kFewestBefore = 5;
constexpr double kDeviations = 6;
constexpr double kSigmaOfMad = 1.4826;  // of a normal distribution
constexpr double kLeastRise = 0.1;      // of the median

double MedianOf(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

const double* LossOf(const MetricPoint& point) {
  const auto found = point.values.find("train_loss");
  return found == point.values.end() ? nullptr : &found->second;
}

}  // namespace

std::vector<LossSpike> FindSpikes(const std::vector<MetricPoint>& points) {
  std::vector<LossSpike> spikes;
  std::deque<double> window;
  for (const MetricPoint& point : points) {
    const double* loss = LossOf(point);
    if (loss == nullptr) continue;
    if (window.size() >= kFewestBefore) {
      const double median = MedianOf({window.begin(), window.end()});
      std::vector<double> deviations;
      for (const double before : window) deviations.push_back(std::abs(before - median));
      const double sigma = kSigmaOfMad * MedianOf(std::move(deviations));
      // A loss that is no number stands out of everything.
      const bool calm =
          *loss <= median + std::max(kDeviations * sigma, kLeastRise * std::abs(median));
      if (!calm) {
        spikes.push_back({point.step, *loss, median});
        continue;
      }
    }
    window.push_back(*loss);
    if (window.size() > kSpikeWindow) window.pop_front();
  }
  return spikes;
}

std::vector<LossRow> CommonLosses(const std::vector<const std::vector<MetricPoint>*>& runs,
                                  size_t most) {
  std::map<int64_t, std::vector<double>> by_step;
  for (size_t run = 0; run < runs.size(); ++run) {
    for (const MetricPoint& point : *runs[run]) {
      const double* loss = LossOf(point);
      if (loss == nullptr) continue;
      std::vector<double>& losses = by_step[point.step];
      if (losses.size() == run) losses.push_back(*loss);
    }
  }
  std::vector<LossRow> common;
  for (auto& [step, losses] : by_step) {
    if (losses.size() == runs.size()) common.push_back({step, std::move(losses)});
  }
  if (common.size() <= most) return common;
  std::vector<LossRow> spaced;
  for (size_t i = 0; i < most; ++i) spaced.push_back(common[i * (common.size() - 1) / (most - 1)]);
  return spaced;
}

}  // namespace crossover::scheduler
