// Joining the metrics of several processes into one text.
#pragma once

#include <string>
#include <vector>

namespace crossover::platform {

// Texts in Prometheus' exposition format 0.0.4, joined so that every family appears once, with all
// its samples.
std::string MergeExpositions(const std::vector<std::string>& texts);

}  // namespace crossover::platform
