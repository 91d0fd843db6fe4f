// Asks what a run has not asked yet. A run that was interrupted anywhere goes on where it stopped.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/evaluation/domain/ports.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

struct RunExecutorOptions {
  absl::Duration claim_ttl = absl::Seconds(30);
  // A question that the system cannot take now is asked again so many times, with doubling waits;
  // then the run pauses.
  int attempts = 8;
  absl::Duration first_wait = absl::Milliseconds(250);
  // Progress is written at least this often while answers come.
  absl::Duration progress_interval = absl::Seconds(1);
  int maximum_concurrency = 64;
};

// Thread-safe; Execute may run on several threads for different runs. Borrows its dependencies.
class RunExecutor {
 public:
  // `count` is told "ok", "error" or "reused" for every answer (metrics).
  RunExecutor(
      Store& store, SystemRunner& runner, Clock& clock, RunExecutorOptions options,
      std::function<void(const char* outcome)> count = [](const char*) {});

  // Runs a claimed run until it ends, pauses, is cancelled or `stop` becomes true (then it stays
  // RUNNING and may be claimed again). Blocks. An error means that the store failed or the claim
  // was lost; nothing of the run is lost.
  absl::Status Execute(Run run, const std::string& owner, const std::atomic<bool>& stop);

 private:
  Store& store_;
  SystemRunner& runner_;
  Clock& clock_;
  RunExecutorOptions options_;
  std::function<void(const char*)> count_;
};

}  // namespace crossover::evaluation
