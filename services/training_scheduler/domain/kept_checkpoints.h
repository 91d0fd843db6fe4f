// Which checkpoints of a job are kept: the last three, the best, and those that are pinned. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

inline constexpr size_t kLastCheckpoints = 3;

// Step with the lowest validation loss, the earlier of two equal ones; nullopt if none has any.
std::optional<int64_t> BestStep(const std::vector<Checkpoint>& checkpoints);

struct Pruning {
  std::vector<int64_t> steps;         // to remove
  std::vector<std::string> released;  // digests that no checkpoint that stays refers to
};

// "Last" is by lease epoch, then by step: after a job has started anew, what it wrote before is
// older whatever its step.
Pruning Prune(const std::vector<Checkpoint>& checkpoints);

}  // namespace crossover::scheduler
