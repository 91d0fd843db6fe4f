// Means and paired differences, with errors that know which observations belong together.
//
// Formulas: Miller, "Adding Error Bars to Evals", arXiv 2411.00640. Average the repeats of a row
// first: n counts rows.
#pragma once

#include <string>
#include <vector>

#include "common/stats/interval.h"

namespace crossover::stats {

// Standard error of the mean: sqrt(C/(C-1) * sum_c (sum_{i in c} (x_i - mean))^2) / n. `clusters`
// names the group of each value; empty means that every value stands alone. Fewer than two groups:
// infinite.
double ClusteredStandardError(const std::vector<double>& values,
                              const std::vector<std::string>& clusters);

// Mean of scores in [0,1]. Wilson's interval where every score is 0 or 1 and nothing is clustered,
// else a t interval over clusters ("clustered_t"), clamped to [0,1].
Interval MeanScore(const std::vector<double>& scores, const std::vector<std::string>& clusters = {},
                   double level = 0.95);

// Mean of first - second over the same rows; scores in [0,1], equal lengths. Newcombe's paired
// interval where every score is 0 or 1 and nothing is clustered, else a t interval over clusters.
// The latter's standard error is at least 1/(C+2), what Agresti and Min's four pseudo-observations
// leave when no pair differs: 30 equal pairs are not proof of equality.
Interval PairedDifference(const std::vector<double>& first, const std::vector<double>& second,
                          const std::vector<std::string>& clusters = {}, double level = 0.95);

// Mean of any values, t interval over clusters.
Interval MeanInterval(const std::vector<double>& values,
                      const std::vector<std::string>& clusters = {}, double level = 0.95);

}  // namespace crossover::stats
