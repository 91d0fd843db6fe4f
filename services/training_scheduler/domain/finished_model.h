// The model that a finished job leaves behind.
#pragma once

#include <optional>

#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/model.h"

namespace crossover::scheduler {

// The adapter or export a successful job made, as a version in the Model registry. nullopt if its
// outputs name none.
std::optional<ModelVersion> ModelOf(const Job& job, absl::Time now);

}  // namespace crossover::scheduler
