#include "common/stats/percentile.h"

#include <algorithm>
#include <cmath>

#include "common/stats/special.h"

namespace crossover::stats {

Interval Percentile(std::vector<double> values, double q, double level) {
  int64_t n = static_cast<int64_t>(values.size());
  Interval interval{.level = level, .method = "order_statistic", .n = n, .clusters = n};
  if (n == 0) return interval;
  std::sort(values.begin(), values.end());
  // ceil, guarded against qn being a rounding error above an integer.
  int64_t rank = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(q * n - 1e-9)), 1, n);
  interval.point = values[rank - 1];
  // x_(l) <= quantile <= x_(u) with P >= level for l = F^-1(a/2), u = F^-1(1-a/2) + 1, ranks
  // from 1.
  int64_t lower = BinomialQuantile((1 - level) / 2, n, q);
  int64_t upper = BinomialQuantile(1 - (1 - level) / 2, n, q) + 1;
  if (lower >= 1) interval.lower = values[lower - 1];
  if (upper <= n) interval.upper = values[upper - 1];
  return interval;
}

}  // namespace crossover::stats
