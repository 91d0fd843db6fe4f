// The number types that workers compute in. A gang computes in one: who adds up the gradients of
// another would be refused when they meet, at the cost of an attempt.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

// True if a worker that can do so computes the job in float32. (BFLOAT16 is a wish: what follows
// the worker's processor, as if nothing had been asked for.)
bool AsksFloat32(const Job& job);

// What a worker of these types (Capabilities::compute_types) computes such a job in; nullopt: not
// known.
std::optional<ComputeType> TypeOn(const std::vector<ComputeType>& types, bool asks_float32);

// What gangs may compute such a job in, the type to take first if there are workers of several.
std::array<std::optional<ComputeType>, 3> TypesOfGangs(bool asks_float32);

}  // namespace crossover::scheduler
