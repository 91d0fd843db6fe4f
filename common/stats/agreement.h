// Do annotators agree more than chance would have them?
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::stats {

// Cohen's kappa of two annotators from their square confusion matrix: (po - pe) / (1 - pe).
// InvalidArgument if the matrix is not square or empty; 1 if both gave one and the same label
// throughout.
absl::StatusOr<double> CohenKappa(const std::vector<std::vector<double>>& confusion);
// The same from two lists of labels of equal length.
absl::StatusOr<double> CohenKappa(const std::vector<std::string>& first,
                                  const std::vector<std::string>& second);

// Fleiss' kappa; counts[item][category], every item with the same number (>= 2) of ratings.
absl::StatusOr<double> FleissKappa(const std::vector<std::vector<int>>& counts);

enum class Scale { kNominal, kOrdinal, kInterval };

// Krippendorff's alpha = 1 - Do/De ("Computing Krippendorff's Alpha-Reliability", 2011).
// ratings[annotator][unit]; absent ratings are nullopt. Units with fewer than two ratings carry
// nothing. InvalidArgument if no unit has two.
absl::StatusOr<double> KrippendorffAlpha(
    const std::vector<std::vector<std::optional<double>>>& ratings, Scale scale);

}  // namespace crossover::stats
