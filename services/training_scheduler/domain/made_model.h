// By which name what a job made is registered.
#pragma once

#include <optional>

#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/model.h"

namespace crossover::scheduler {

// `known`: the kind of the model that `version` would become a version of; nullopt if there is none
// yet. If it is another one's name (somebody imported a base by it since the job was created), both
// `version` and the job's outputs get a name that ends with the job's id: the work is not lost, and
// the model keeps its kind. Exports stand beside their base, whatever their kind. Pure.
void NameMade(std::optional<ModelKind> known, ModelVersion& version, Job& job);

}  // namespace crossover::scheduler
