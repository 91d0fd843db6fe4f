// Between WorkerUsage and scheduler.v1.
#pragma once

#include <string>
#include <vector>

#include "crossover/scheduler/v1/worker.pb.h"
#include "services/training_scheduler/domain/worker_usage.h"

namespace crossover::scheduler {

WorkerUsage UsageFromProto(const v1::WorkerUsage& from);  // without the time
v1::WorkerUsage UsageToProto(const WorkerUsage& usage);

// Usage is said beside things that matter more, so what is wrong with it is left out (numbers
// become 0, not known), and returned in words.
std::vector<std::string> DropBadUsage(WorkerUsage& usage);

}  // namespace crossover::scheduler
