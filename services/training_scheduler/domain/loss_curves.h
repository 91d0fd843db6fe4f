// What two or more loss curves say beside each other.
#pragma once

#include <cstdint>
#include <vector>

#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

// A training loss that stands out of the steps before it.
struct LossSpike {
  int64_t step = 0;
  double loss = 0;
  double median = 0;  // of the window before it
};

// Steps whose training loss is more than six robust standard deviations (1.4826 × the median
// absolute deviation) and more than a tenth above the median of the twenty steps before it; the
// first five steps have too few before them. A spike does not raise the bar for the next: it is
// left out of later windows. Ascending by step.
std::vector<LossSpike> FindSpikes(const std::vector<MetricPoint>& points);

// The losses of several runs at one step that all of them have reported.
struct LossRow {
  int64_t step = 0;
  std::vector<double> losses;  // by run
};

// Up to `most` (at least 2) rows, evenly spaced over the common steps, the first and the last among
// them. `runs`: each ascending by step.
std::vector<LossRow> CommonLosses(const std::vector<const std::vector<MetricPoint>*>& runs,
                                  size_t most);

}  // namespace crossover::scheduler
