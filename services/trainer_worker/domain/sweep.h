// One attempt at a SWEEP job: the trials of its grid one after another, each a Training, stopped by
// the median rule where they fall behind; the best one's adapter is published with a report.
//
// The checkpoints of a sweep are those of its trials, with what is known of the trials before
// (sweep_state.h) beside them, and one more after each trial: an attempt goes on in the trial, and
// at the step, of the last one.
#pragma once

#include "absl/status/statusor.h"
#include "services/trainer_worker/domain/job_context.h"
#include "services/trainer_worker/domain/sweep_state.h"
#include "services/trainer_worker/domain/training.h"

namespace crossover::worker {

// Used by one thread, once.
class Sweep {
 public:
  explicit Sweep(JobContext& context) : context_(context) {}

  // Errors as those of Training::Run.
  absl::StatusOr<TrainingEnd> Run();

 private:
  const SweepPlan& plan() const { return context_.job().sweep; }
  // Reads what the job's checkpoint knows of earlier trials.
  absl::Status Recover();
  int64_t StepsBefore(size_t trial) const;
  absl::StatusOr<TrainingEnd> RunTrial(size_t trial);
  // Books a trial that ended, and makes sure that no attempt runs it again.
  absl::Status Book(size_t trial, const TrainingEnd& end);
  absl::Status RecordBoundary(size_t next);
  absl::Status Publish(TrainingEnd& end);

  JobContext& context_;
  SweepState state_;
  std::vector<CheckpointRef> checkpoints_;  // the next trial goes on from, the latest first
  int64_t recorded_step_ = 0;
  Ending sum_;  // of this attempt
  std::vector<std::string> former_bests_;
};

}  // namespace crossover::worker
