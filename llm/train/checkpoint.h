// What a training run needs to go on exactly where it stopped. No torch.
//
// A folder of state.json and state.safetensors (adapter, m, v: fp32 [n]). state.json is written
// last and holds a hash of the whole state, so a damaged folder is found out. Rows are chosen and
// random numbers drawn by position (schedule.h, random.h), so the step is all the cursor there is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::llm {

struct TrainState {
  int64_t step = 0;
  int64_t tokens_seen = 0;
  double last_loss = 0;
  std::string
      fingerprint;  // Of config, rows and base model: a checkpoint continues the same run only.
  std::string compute_type;  // TrainTerms'; empty in checkpoints that do not say it yet.
  std::vector<float> adapter, m, v;
};

// Writes the folder whole or not at all (llm/lora/folder.h). Equal states give equal bytes.
absl::Status WriteCheckpoint(const std::filesystem::path& folder, const TrainState& state);

// NotFound if there is no such folder, DataLoss("CHECKPOINT_DAMAGED") whatever is wrong inside it,
// FailedPrecondition("FILE_UNREADABLE") for what the system does not let us read; each names the
// file.
absl::StatusOr<TrainState> ReadCheckpoint(const std::filesystem::path& folder);

}  // namespace crossover::llm
