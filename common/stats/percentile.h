// Percentiles of latencies, with distribution-free intervals.
#pragma once

#include <vector>

#include "common/stats/interval.h"

namespace crossover::stats {

// The q-quantile (0 < q < 1) as an observed value, x_(ceil(qn)), with the order-statistic interval
// of the binomial distribution. A bound that n values cannot give (p99 from 100 values) is
// infinite. No values: point 0, infinite bounds.
Interval Percentile(std::vector<double> values, double q, double level = 0.95);

}  // namespace crossover::stats
