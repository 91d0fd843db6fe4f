// Between WorkerUsage and scheduler.v1. Nothing else.
#pragma once

#include "crossover/scheduler/v1/worker.pb.h"
#include "services/training_scheduler/domain/worker_usage.h"

namespace crossover::scheduler {

WorkerUsage UsageFromProto(const v1::WorkerUsage& from);  // without the time
v1::WorkerUsage UsageToProto(const WorkerUsage& usage);

}  // namespace crossover::scheduler
