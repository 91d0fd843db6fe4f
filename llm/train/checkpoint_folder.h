// A folder of a run's checkpoints, from the newest of which the run goes on. No torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::llm {

// FOLDER/step-000000000012, where the checkpoint of step 12 belongs.
std::filesystem::path CheckpointPath(const std::filesystem::path& folder, int64_t step);

// The checkpoints in `folder`, newest first; none if there is no such folder. What a write that was
// cut short left behind is not among them.
absl::StatusOr<std::vector<std::filesystem::path>> CheckpointsIn(
    const std::filesystem::path& folder);

// Gives the checkpoints to `resume`, newest first, until one is taken, and returns that; empty if
// there is none that is sound. A damaged one (CHECKPOINT_DAMAGED) is told to `passed_over` and the
// one before is tried; any other error ends the search, because that checkpoint may be sound.
absl::StatusOr<std::filesystem::path> ResumeFromNewest(
    const std::filesystem::path& folder,
    const std::function<absl::Status(const std::filesystem::path&)>& resume,
    const std::function<void(const absl::Status&)>& passed_over);

// Removes all but the newest `count` checkpoints, and what writes that were cut short left behind.
absl::Status KeepNewest(const std::filesystem::path& folder, size_t count);

}  // namespace crossover::llm
