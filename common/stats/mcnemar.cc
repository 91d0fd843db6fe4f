#include "common/stats/mcnemar.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

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

McNemar ClusterSignTest(const std::vector<double>& differences,
                        const std::vector<std::string>& clusters) {
  std::vector<double> sums;
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < differences.size(); ++i) {
    size_t at =
        clusters.empty() ? sums.size() : place.try_emplace(clusters[i], sums.size()).first->second;
    if (at == sums.size()) sums.push_back(0);
    sums[at] += differences[i];
  }
  return McNemarTest(std::count_if(sums.begin(), sums.end(), [](double sum) { return sum < 0; }),
                     std::count_if(sums.begin(), sums.end(), [](double sum) { return sum > 0; }));
}

}  // namespace crossover::stats
