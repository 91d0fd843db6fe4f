// McNemar's test of two systems on the same rows, at a sample size fixed beforehand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace crossover::stats {

struct McNemar {
  int64_t b = 0;       // rows that only the first has right
  int64_t c = 0;       // rows that only the second has right
  double exact_p = 1;  // two-sided binomial
  double mid_p =
      1;  // exact minus half the observed point's probability on each side (Fagerland 2013)
  double chi_squared_corrected = 0;  // (|b-c|-1)^2 / (b+c), Edwards' correction
  double chi_squared_p = 1;
};

McNemar McNemarTest(int64_t b, int64_t c);

// The same where rows of a cluster go together: each cluster counts once, for the side its summed
// differences (second - first) fall on, and a cluster that balances for neither. An exact sign test
// over clusters; with one row each it is McNemarTest. Empty `clusters`: every value stands alone.
McNemar ClusterSignTest(const std::vector<double>& differences,
                        const std::vector<std::string>& clusters);

}  // namespace crossover::stats
