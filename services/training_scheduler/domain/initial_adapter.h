// The adapter that a training goes on from: which one is meant, and whether the spec fits it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/status/error.h"
#include "services/training_scheduler/domain/adapter_form.h"
#include "services/training_scheduler/domain/job_spec.h"
#include "services/training_scheduler/domain/job_store.h"
#include "services/training_scheduler/domain/model_store.h"

namespace crossover::scheduler {

// By the digest of an adapter, or of a checkpoint, which means the adapter at its step. nullopt:
// the project has none; what else it has under this digest (a base, an export, a report) is none.
absl::StatusOr<std::optional<MadeAdapter>> FindInitialAdapter(ModelStore& models, JobStore& jobs,
                                                              const std::string& project,
                                                              const std::string& digest);

// Fields that say other than the adapter, with both values; the worker could not load it. Another
// alpha is fine: the trainer scales B to make up for it.
std::vector<FieldViolation> CheckForm(const TrainingSpec& spec, const AdapterForm& form);

}  // namespace crossover::scheduler
