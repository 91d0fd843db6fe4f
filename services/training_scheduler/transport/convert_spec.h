// Job specs between domain and protos.
#pragma once

#include "crossover/scheduler/v1/job.pb.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

JobSpec SpecFromProto(const ::crossover::scheduler::v1::JobSpec& spec);
::crossover::scheduler::v1::JobSpec SpecToProto(JobKind kind, const JobSpec& spec);

}  // namespace crossover::scheduler
