#include "common/stats/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "common/stats/random.h"
#include "common/stats/special.h"

namespace crossover::stats {
namespace {

// The value below which a share q of the sorted draws lies.
double SortedQuantile(const std::vector<double>& sorted, double q) {
  double place = q * (static_cast<double>(sorted.size()) - 1);
  size_t below = static_cast<size_t>(std::clamp(std::floor(place), 0.0, sorted.size() - 1.0));
  size_t above = std::min(below + 1, sorted.size() - 1);
  double share = std::clamp(place - below, 0.0, 1.0);
  return sorted[below] + share * (sorted[above] - sorted[below]);
}

double Acceleration(uint32_t units, const Statistic& statistic) {
  std::vector<uint32_t> kept(units - 1);
  std::vector<double> values(units);
  for (uint32_t left_out = 0; left_out < units; ++left_out) {
    for (uint32_t i = 0, at = 0; i < units; ++i) {
      if (i != left_out) kept[at++] = i;
    }
    values[left_out] = statistic(kept);
  }
  double mean = std::accumulate(values.begin(), values.end(), 0.0) / units;
  double cubes = 0, squares = 0;
  for (double value : values) {
    cubes += std::pow(mean - value, 3);
    squares += std::pow(mean - value, 2);
  }
  return squares == 0 ? 0 : cubes / (6 * std::pow(squares, 1.5));
}

struct Levels {
  double lower;
  double upper;
};

Levels BcaLevels(const std::vector<double>& sorted, double point, double acceleration,
                 double level) {
  auto below = std::lower_bound(sorted.begin(), sorted.end(), point) - sorted.begin();
  auto not_above = std::upper_bound(sorted.begin(), sorted.end(), point) - sorted.begin();
  // Ties count half, so that a discrete statistic is not called biased. Kept inside (0,1): all
  // draws may be equal.
  double share = std::clamp((below + not_above) / 2.0 / sorted.size(), 0.5 / sorted.size(),
                            1 - 0.5 / sorted.size());
  double z0 = NormalQuantile(share);
  auto adjusted = [&](double z) {
    return NormalCdf(z0 + (z0 + z) / (1 - acceleration * (z0 + z)));
  };
  double z = CriticalZ(level);
  return {adjusted(-z), adjusted(z)};
}

}  // namespace

Interval Bootstrap(uint32_t units, const Statistic& statistic, const BootstrapOptions& options) {
  Interval interval{.level = options.level,
                    .method = options.bca ? "bca" : "bootstrap",
                    .n = units,
                    .clusters = units};
  if (units == 0) return interval;
  std::vector<uint32_t> drawn(units);
  std::iota(drawn.begin(), drawn.end(), 0);
  interval.point = statistic(drawn);
  if (units == 1) return interval;

  Random random(options.seed);
  std::vector<double> draws(options.resamples);
  for (double& draw : draws) {
    for (uint32_t& unit : drawn) unit = static_cast<uint32_t>(random.Below(units));
    draw = statistic(drawn);
  }
  std::sort(draws.begin(), draws.end());
  double tail = (1 - options.level) / 2;
  Levels levels{tail, 1 - tail};
  if (options.bca)
    levels = BcaLevels(draws, interval.point, Acceleration(units, statistic), options.level);
  interval.lower = SortedQuantile(draws, levels.lower);
  interval.upper = SortedQuantile(draws, levels.upper);
  return interval;
}

Interval BootstrapMean(const std::vector<double>& values, const std::vector<std::string>& clusters,
                       const BootstrapOptions& options) {
  std::vector<double> sums;
  std::vector<double> sizes;
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < values.size(); ++i) {
    size_t at =
        clusters.empty() ? sums.size() : place.try_emplace(clusters[i], sums.size()).first->second;
    if (at == sums.size()) {
      sums.push_back(0);
      sizes.push_back(0);
    }
    sums[at] += values[i];
    sizes[at] += 1;
  }
  Interval interval = Bootstrap(
      static_cast<uint32_t>(sums.size()),
      [&](std::span<const uint32_t> units) {
        double sum = 0, size = 0;
        for (uint32_t unit : units) {
          sum += sums[unit];
          size += sizes[unit];
        }
        return sum / size;
      },
      options);
  interval.n = static_cast<int64_t>(values.size());
  return interval;
}

}  // namespace crossover::stats
