// How much of what is asked lies near to what was trained on.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/stats/interval.h"

namespace crossover::evaluation {

// Share of `inputs` that lie nearer to a training text than the 95th percentile of the distances
// between a training text and its nearest other. Distance: 1 - cosine of hashed character 3-gram
// counts. At most 4,000 training texts and 500 of each other kind are looked at, drawn evenly.
// nullopt for fewer than 20 training texts or no inputs. Wilson's interval.
std::optional<stats::Interval> MeasureCoverage(const std::vector<std::string>& training,
                                               const std::vector<std::string>& inputs);

}  // namespace crossover::evaluation
