// What a sweep knows of its trials: kept in every checkpoint, and its report in the end.
//
// No time, host or job in it: equal sweeps have equal reports.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/trainer_worker/domain/run_state.h"
#include "services/trainer_worker/domain/work.h"

namespace crossover::worker {

enum class TrialEnd { kFinished, kStoppedEarly, kStoppedByMedian };

// "FINISHED", "STOPPED_EARLY", "STOPPED_BY_MEDIAN"
std::string_view Name(TrialEnd end);

// A trial that has ended.
struct TrialResult {
  TrialEnd end = TrialEnd::kFinished;
  int64_t steps = 0;  // that it would have had
  RunState run;       // step: where it ended
};

struct SweepState {
  std::vector<TrialResult> trials;  // the first ones; the next is running, or begins
};

inline constexpr char kSweepStateFile[] = "sweep.json";

absl::Status WriteSweepState(const std::filesystem::path& folder, const SweepState& state);
// DATA_LOSS CHECKPOINT_DAMAGED if the file is missing or is not a sweep's state; FileError if the
// machine cannot read it now.
absl::StatusOr<SweepState> ReadSweepState(const std::filesystem::path& folder);

// The trial with the lowest validation loss (of equals the first); nullopt if none has one.
std::optional<size_t> BestTrial(const SweepState& state);

// The median stopping rule (Golovin et al., Google Vizier, KDD 2017, section 3.2.2), by share of
// each trial's steps instead of by step, so that trials of different lengths compare: true if the
// best loss so far of a trial that has done `step` of `steps` is above the median of what the
// trials before it had reached by then. Silent with fewer than two of those, and in the first
// fifth, where the warm-up still tells.
bool IsHopeless(const SweepState& state, const RunState& run, int64_t step, int64_t steps);

// The report as JSON text: each trial with its values, end, curve and adapter, and which was best.
std::string ReportOf(const SweepPlan& plan, const SweepState& state);

}  // namespace crossover::worker
