// The fields of a TrainingSpec that are techniques (domain/techniques.h), to and from protobuf.
#pragma once

#include "crossover/scheduler/v1/job.pb.h"
#include "services/training_scheduler/domain/techniques.h"

namespace crossover::scheduler {

TechniqueSpec TechniquesFromProto(const v1::TrainingSpec& from);
void TechniquesToProto(const TechniqueSpec& from, v1::TrainingSpec& to);
void TechniquesToProto(const ResolvedTechniques& from, v1::TrainingSpec& to);

}  // namespace crossover::scheduler
