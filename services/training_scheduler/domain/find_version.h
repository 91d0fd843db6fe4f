// A model version by whatever people call it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/model_store.h"

namespace crossover::scheduler {

// By digest, alias or slug, or by the name of a Model or ModelVersion; of a model its newest
// version. NOT_FOUND RESOURCE_NOT_FOUND, also for what is another project's; INVALID_ARGUMENT
// FIELD_INVALID names base_model.
absl::StatusOr<ModelVersion> FindVersion(ModelStore& models, const std::string& project,
                                         const std::string& text);

}  // namespace crossover::scheduler
