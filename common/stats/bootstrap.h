// Resampling intervals. Seeded: equal inputs give equal bounds.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/stats/interval.h"

namespace crossover::stats {

struct BootstrapOptions {
  int resamples = 10'000;
  uint64_t seed = 1;
  double level = 0.95;
  // Bias-corrected and accelerated (Efron 1987), for skewed statistics; otherwise the percentile
  // interval.
  bool bca = false;
};

// A statistic of the units drawn (indices into the caller's data, with repeats).
using Statistic = std::function<double(std::span<const uint32_t> units)>;

// Resamples `units` things. The units are what is independent: rows, or whole clusters. 0 units:
// infinite bounds.
Interval Bootstrap(uint32_t units, const Statistic& statistic,
                   const BootstrapOptions& options = {});

// The mean of values (for a paired difference: first - second per row), whole clusters resampled
// together.
Interval BootstrapMean(const std::vector<double>& values,
                       const std::vector<std::string>& clusters = {},
                       const BootstrapOptions& options = {});

}  // namespace crossover::stats
