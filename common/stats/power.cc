#include "common/stats/power.h"

#include <algorithm>
#include <cmath>

#include "common/stats/special.h"

namespace crossover::stats {
namespace {

double Factor(const PowerOptions& options) {
  double sum = NormalQuantile(1 - options.alpha / 2) + NormalQuantile(options.power);
  return sum * sum;
}

}  // namespace

int64_t PairedSampleSize(double delta, const PairedVariance& variance,
                         const PowerOptions& options) {
  return std::llround(Factor(options) * variance.total() / (delta * delta));
}

int64_t PairedSampleSize(double delta, double discordance, const PowerOptions& options) {
  return PairedSampleSize(delta, PairedVariance{.omega = discordance - delta * delta}, options);
}

int64_t UnpairedSampleSize(double delta, double p, const PowerOptions& options) {
  return std::llround(Factor(options) * 2 * p * (1 - p) / (delta * delta));
}

double DetectableDifference(int64_t n, double discordance, const PowerOptions& options) {
  if (n <= 0) return 1;
  // From n = F (disc - d^2) / d^2.
  double factor = Factor(options);
  return std::min(1.0, std::sqrt(factor * discordance / (n + factor)));
}

}  // namespace crossover::stats
