// One attempt at a training job: prepare, train, checkpoint, validate, publish.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/trainer_worker/domain/job_context.h"
#include "services/trainer_worker/domain/run_state.h"

namespace crossover::worker {

struct TrainingEnd {
  Stop stop = Stop::kNone;
  Ending ending;                   // with stop kNone or kEarly
  int64_t checkpoint_step = 0;     // the last one recorded
  std::vector<std::string> bests;  // pinned by BestHolder, not needed once the job is completed
};

// Used by one thread, once.
class Training {
 public:
  explicit Training(JobContext& context) : context_(context) {}

  // ABORTED LEASE_LOST from a fenced call; otherwise errors are the job's.
  absl::StatusOr<TrainingEnd> Run();

 private:
  absl::Status Prepare();
  absl::StatusOr<TrainInputs> FetchInputs();
  // After every step; an error stops the training.
  absl::StatusOr<TrainRun::Decision> OnStep(const Step& step);
  void Tell(const Step& step);
  absl::Status Validate(const Step& step);
  absl::Status Checkpoint(const Step& step);
  absl::StatusOr<std::string> PutAdapter(const std::string& name, const std::string& holder);
  // Nothing resumes from before the checkpoint just recorded: lets go what only that would need.
  void LetGo(const std::vector<std::string>& released);
  absl::StatusOr<TrainingEnd> Finish(Stop stop);

  JobContext& context_;
  std::unique_ptr<TrainRun> run_;
  RunState state_;
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
