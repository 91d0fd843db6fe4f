// The grid of a SWEEP job: which trials it has, and each with all its numbers.
#pragma once

#include <string>
#include <vector>

#include "common/status/error.h"
#include "services/training_scheduler/domain/job_spec.h"

namespace crossover::scheduler {

// The most trials of one sweep.
inline constexpr int64_t kMaxTrials = 64;

struct SweepPoint {
  std::map<std::string, std::string> values;  // JSON text by field
  TrainingSpec spec;
};

struct SweepGrid {
  std::vector<SweepPoint> points;
  std::vector<FieldViolation> violations;  // named by their path in the proto
};

// The product of the axes, the last one changing fastest; with max_trials, that many drawn by the
// spec's seed. Pure.
SweepGrid GridOf(const TrainingSpec& shared, const SweepSpec& sweep);

}  // namespace crossover::scheduler
