#include "services/trainer_worker/domain/worker.h"

#include <algorithm>
#include <optional>

#include "common/status/status_macros.h"
#include "services/trainer_worker/domain/attempts_folder.h"

namespace crossover::worker {

absl::Status Worker::Once() {
  ASSIGN_OR_RETURN(std::optional<LeasedJob> job, deps_.client.Lease(options_.lease_wait));
  if (!job.has_value()) return absl::OkStatus();
  runner_.Run(*job, draining_);
  return absl::OkStatus();
}

void Worker::Run() {
  const absl::Status cleaned = EmptyAttemptsFolder(options_.runner.work_folder);
  if (!cleaned.ok()) deps_.logger.Warning("work_folder_not_emptied", {{"error", cleaned}});
  absl::Duration backoff = options_.first_backoff;
  while (!draining_.load()) {
    const absl::Status status = Once();
    if (status.ok()) {
      backoff = options_.first_backoff;
      continue;
    }
    if (draining_.load()) break;
    deps_.logger.Warning("lease_failed", {{"error", status}});
    deps_.clock.SleepFor(backoff);
    backoff = std::min(backoff * 2, options_.max_backoff);
  }
  const absl::Status left = deps_.client.Leave();
  if (!left.ok()) deps_.logger.Warning("leave_not_told", {{"error", left}});
  absl::MutexLock lock(&mutex_);
  done_ = true;
}

void Worker::Drain() {
  draining_.store(true);
  deps_.client.Interrupt();
}

bool Worker::WaitUntilDrained(absl::Duration grace) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&done_), grace);
}

}  // namespace crossover::worker
