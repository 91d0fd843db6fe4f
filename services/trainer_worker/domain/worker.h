// The worker's life: lease, run, lease again, until it drains.
#pragma once

#include <atomic>

#include "absl/synchronization/mutex.h"
#include "services/trainer_worker/domain/job_runner.h"

namespace crossover::worker {

struct WorkerOptions {
  absl::Duration lease_wait = absl::Seconds(50);
  absl::Duration first_backoff = absl::Milliseconds(200);  // after an error of Lease; doubles
  absl::Duration max_backoff = absl::Seconds(5);
  RunnerOptions runner;
};

// Run() belongs to one thread; the rest is thread-safe. Borrows deps.
class Worker {
 public:
  Worker(WorkerDeps deps, WorkerOptions options)
      : deps_(deps), options_(options), runner_(deps, options.runner) {}

  // Blocks until Drain.
  void Run();

  // Takes no more jobs; the running one writes a checkpoint at its next step and its lease is given
  // back. Returns at once.
  void Drain();
  // Waits until Run has returned, at most `grace`. False if it has not.
  bool WaitUntilDrained(absl::Duration grace);

  bool draining() const { return draining_.load(); }
  JobStatus status() const { return deps_.board.Get(); }

 private:
  // One lease and its job. The error is Lease's.
  absl::Status Once();

  WorkerDeps deps_;
  const WorkerOptions options_;
  JobRunner runner_;
  std::atomic<bool> draining_ = false;
  absl::Mutex mutex_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crossover::worker
