// What a training must remember across a resume beside the trainer's own state: a small JSON file
// in the checkpoint's folder. No time, host or job in it: equal runs have equal checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/trainer_worker/domain/overfitting.h"

namespace crossover::worker {

struct RunState {
  int64_t step = 0;
  int64_t trained_tokens = 0;
  std::optional<double> best_loss;  // on the validation rows
  std::string best_adapter;         // digest; empty = none yet
  int64_t validations_without_gain = 0;
  std::vector<CurvePoint> curve;         // one point a validation
  double loss_sum = 0;                   // of the steps since the last validation …
  int64_t loss_steps = 0;                // … and their number
  std::vector<std::string> told_alarms;  // rules of overfitting.h that have spoken
};

inline constexpr char kRunStateFile[] = "run_state.json";
inline constexpr char kTrainerFolder[] = "trainer";

// As a JSON object's text, and back; InvalidArgument if it is none.
std::string RunStateToJson(const RunState& state);
absl::StatusOr<RunState> RunStateFromJson(const std::string& text);

absl::Status WriteRunState(const std::filesystem::path& folder, const RunState& state);
// DATA_LOSS CHECKPOINT_DAMAGED if the file is missing or is not a run's state; FileError if the
// machine cannot read it now.
absl::StatusOr<RunState> ReadRunState(const std::filesystem::path& folder);

}  // namespace crossover::worker
