// Runs one leased job from its lease to its end: completed, failed, given back, or lost.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>

#include "services/trainer_worker/domain/job_context.h"

namespace crossover::worker {

struct RunnerOptions {
  std::filesystem::path work_folder;  // attempts make their folders below it (attempts_folder.h)
  KeeperOptions keeper;
};

// Used by one thread. Borrows deps.
class JobRunner {
 public:
  JobRunner(WorkerDeps deps, RunnerOptions options) : deps_(deps), options_(options) {}

  // Blocks until the job's part here is over. `draining` may become true meanwhile: then a
  // checkpoint is written and the lease given back.
  Outcome Run(const LeasedJob& job, const std::atomic<bool>& draining);

 private:
  Outcome RunTraining(JobContext& context);
  Outcome RunExport(JobContext& context);
  // `asked` is looked at between the parts, none of which can be interrupted.
  absl::StatusOr<Ending> Export(JobContext& context, const std::function<bool()>& asked);
  Outcome Complete(JobContext& context, const Ending& ending);
  Outcome Fail(JobContext& context, const absl::Status& why);
  // Of a gang, not as rank 0.
  Outcome FailAsFollower(JobContext& context, const absl::Status& why);
  Outcome Release(JobContext& context, ReleaseReason reason, int64_t checkpoint_step,
                  const std::string& how = "");

  WorkerDeps deps_;
  const RunnerOptions options_;
  bool given_back_ = false;  // the last job, by this worker or by rank 0 of its gang
};

}  // namespace crossover::worker
