// One attempt at a training job: prepare, train, checkpoint, validate, publish.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "services/trainer_worker/domain/gang.h"
#include "services/trainer_worker/domain/job_context.h"
#include "services/trainer_worker/domain/run_state.h"

namespace crossover::worker {

// A checkpoint is gone or its bytes are wrong. Any other error of reading one is the machine's (a
// full disk, a store that does not answer): the job is tried again with all its steps, not begun
// anew.
bool CheckpointIsGone(const absl::Status& status);

struct TrainingEnd {
  Stop stop = Stop::kNone;
  Ending ending;                // with stop kNone or kEarly
  int64_t checkpoint_step = 0;  // the last one recorded
  // Not needed once the job is completed: pinned by BestHolder …
  std::vector<std::string> bests;
  std::vector<std::string> trial_bests;  // … and by TrialHolder
  RunState state;
  bool followed = false;  // as one of a gang whose rank 0 has ended the lease of all
};

// Where a training stands in its job.
struct TrainingPlace {
  const TrainPlan* plan = nullptr;
  // Of a sweep: optimiser steps of the trials before it and of all, so that steps, metrics and
  // checkpoints of the job count on.
  int64_t first_step = 0;
  int64_t all_steps = 0;                   // 0: those of this training
  std::vector<CheckpointRef> checkpoints;  // to go on from, the latest first; may be empty
  bool publish = true;                     // pins the adapter as the job's output
  // Writes what is to be kept beside the training's own state into a checkpoint's folder; may be
  // empty.
  std::function<absl::Status(const std::filesystem::path& folder)> keep;
  // True if going on is pointless, looked at after each validation; may be empty.
  std::function<bool(const RunState& state, const Step& step)> hopeless;
  std::function<void(const Step& step)> on_step;  // after every step; may be empty
};

// Used by one thread, once.
class Training {
 public:
  // The whole job is one training.
  explicit Training(JobContext& context)
      : Training(context, TrainingPlace{.plan = &context.job().train,
                                        .checkpoints = CheckpointsOf(context.job())}) {}
  Training(JobContext& context, TrainingPlace place)
      : context_(context),
        place_(std::move(place)),
        gang_(context),
        checkpoints_(place_.checkpoints) {}

  // ABORTED LEASE_LOST from a fenced call; otherwise errors are the job's.
  absl::StatusOr<TrainingEnd> Run();

 private:
  absl::Status Prepare();
  // Fetches everything and makes run_, unless it is asked to stop.
  absl::Status Load();
  absl::StatusOr<TrainInputs> FetchInputs();
  // Brings the first of checkpoints_ that is whole; none of them is: the training starts anew.
  absl::Status FetchCheckpoint(TrainInputs& inputs);
  // Drops the first of checkpoints_ and says so.
  void PassOver(const char* what, const absl::Status& status);
  // After every step; an error stops the training.
  absl::StatusOr<TrainRun::Decision> OnStep(const Step& step);
  void TellReady(absl::Duration took);
  void Tell(const Step& step);
  absl::Status Validate(const Step& step);
  absl::Status Checkpoint(const Step& step);
  absl::StatusOr<std::string> PutAdapter(const std::string& name, const std::string& holder);
  // Nothing resumes from before the checkpoint just recorded: lets go what only that would need.
  void LetGo(const std::vector<std::string>& released);
  absl::StatusOr<TrainingEnd> Finish(Stop stop);
  absl::Status Publish(Stop stop, TrainingEnd& end);

  void Alarm(const Step& step);

  JobContext& context_;
  const TrainingPlace place_;
  Gang gang_;
  std::unique_ptr<TrainRun> run_;
  RunState state_;
  std::vector<CheckpointRef> checkpoints_;  // those of the place that were not passed over
  Step last_;
  Stop stop_ = Stop::kNone;
  int64_t tokens_ = 0;  // of this attempt
  bool checkpoint_asked_ = false;
  int64_t recorded_step_ = 0;
  int64_t peak_memory_ = 0;
  std::optional<Validation> validation_;   // of the last step that was validated
  std::vector<std::string> former_bests_;  // since the last checkpoint
  absl::Duration started_;
};

}  // namespace crossover::worker
