#include "common/stats/mcnemar.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "common/stats/special.h"

namespace crossover::stats {

McNemar McNemarTest(int64_t b, int64_t c) {
  McNemar test{.b = b, .c = c};
  int64_t n = b + c;
  if (n == 0) return test;
  int64_t fewer = std::min(b, c);
  double tail = 2 * BinomialCdf(fewer, n, 0.5);
  test.exact_p = std::min(1.0, tail);
  // With b = c both tails share the observed point, so only half of it is taken away.
  test.mid_p = b == c ? 1 - BinomialPmf(b, n, 0.5) / 2 : tail - BinomialPmf(fewer, n, 0.5);
  double distance = std::max<double>(0, std::llabs(b - c) - 1);
  test.chi_squared_corrected = distance * distance / n;
  test.chi_squared_p = ChiSquaredUpperTail(test.chi_squared_corrected, 1);
  return test;
}

}  // namespace crossover::stats
