#include "common/stats/proportion.h"

#include <algorithm>
#include <cmath>

#include "common/stats/special.h"

namespace crossover::stats {
namespace {

// The correlation of the 2x2 table with the continuity correction of method 10; 0 where a margin is
// empty.
double Correlation(const PairedCounts& counts) {
  double a = counts.both_right, b = counts.only_first, c = counts.only_second,
         d = counts.both_wrong;
  double product = (a + b) * (c + d) * (a + c) * (b + d);
  if (product <= 0) return 0;
  double numerator = a * d - b * c;
  if (numerator > 0) numerator = std::max(0.0, numerator - counts.n() / 2.0);
  return numerator / std::sqrt(product);
}

double Joined(double first, double second, double correlation) {
  return std::sqrt(
      std::max(0.0, first * first - 2 * correlation * first * second + second * second));
}

}  // namespace

Interval Wilson(int64_t successes, int64_t n, double level) {
  Interval interval{.point = 0,
                    .lower = 0,
                    .upper = 1,
                    .level = level,
                    .method = "wilson",
                    .n = n,
                    .clusters = n};
  if (n <= 0) return interval;
  double z = CriticalZ(level);
  double p = static_cast<double>(successes) / n;
  double denominator = 1 + z * z / n;
  double centre = (p + z * z / (2.0 * n)) / denominator;
  double half = z / denominator * std::sqrt(p * (1 - p) / n + z * z / (4.0 * n * n));
  interval.point = p;
  // At the ends rounding alone would leave a bound a hair off 0 or 1.
  interval.lower = successes == 0 ? 0 : std::max(0.0, centre - half);
  interval.upper = successes == n ? 1 : std::min(1.0, centre + half);
  return interval;
}

Interval NewcombePaired(const PairedCounts& counts, double level) {
  int64_t n = counts.n();
  Interval interval{
      .lower = -1, .upper = 1, .level = level, .method = "newcombe_paired", .n = n, .clusters = n};
  if (n == 0) return interval;
  Interval first = Wilson(counts.both_right + counts.only_first, n, level);
  Interval second = Wilson(counts.both_right + counts.only_second, n, level);
  double correlation = Correlation(counts);
  interval.point = static_cast<double>(counts.only_first - counts.only_second) / n;
  interval.lower =
      interval.point - Joined(first.point - first.lower, second.upper - second.point, correlation);
  interval.upper =
      interval.point + Joined(first.upper - first.point, second.point - second.lower, correlation);
  return interval;
}

Interval NewcombeIndependent(int64_t successes1, int64_t n1, int64_t successes2, int64_t n2,
                             double level) {
  Interval first = Wilson(successes1, n1, level);
  Interval second = Wilson(successes2, n2, level);
  Interval interval{.lower = -1,
                    .upper = 1,
                    .level = level,
                    .method = "newcombe",
                    .n = n1 + n2,
                    .clusters = n1 + n2};
  if (n1 == 0 || n2 == 0) return interval;
  interval.point = first.point - second.point;
  interval.lower =
      interval.point - std::hypot(first.point - first.lower, second.upper - second.point);
  interval.upper =
      interval.point + std::hypot(first.upper - first.point, second.point - second.lower);
  return interval;
}

}  // namespace crossover::stats
