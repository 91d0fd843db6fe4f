// A supervised process: started, watched, started again with back-off when it dies, stopped in
// order.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/process/spawn.h"
#include "common/time/clock.h"

namespace crossover::platform {

struct ChildOptions {
  std::string name;  // for logs and crossover_platform_child_restarts_total{child}
  // What to start; called before every start. The kernel kills the child if the platform dies
  // (parent_death_signal is set by the supervisor).
  std::function<absl::StatusOr<SpawnOptions>()> command;
  int stop_signal = 15;                             // SIGTERM
  int death_signal = 9;                             // when the platform dies
  absl::Duration stop_timeout = absl::Seconds(20);  // then SIGKILL
  absl::Duration backoff_min = absl::Milliseconds(200);
  absl::Duration backoff_max = absl::Seconds(10);
  absl::Duration healthy_after =
      absl::Seconds(20);  // a child that lived this long starts the back-off anew
  // Called on the supervisor's thread after the child was reaped, before it is started again. Not
  // after Stop.
  std::function<void(int wait_status)> on_exit;
};

// Owns one thread, which must live as long as the child: the kernel ties the death signal to it.
// Thread-safe.
class Child {
 public:
  // Starts the program; fails if the first start does (PROGRAM_NOT_FOUND says which file is
  // missing). Borrows the rest.
  static absl::StatusOr<std::unique_ptr<Child>> Start(ChildOptions options, Clock& clock,
                                                      Logger& logger, metrics::Registry& registry);
  ~Child();  // Stop()
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Sends stop_signal, waits, kills after stop_timeout. Idempotent; blocks.
  void Stop();

  // 0 while it is between two lives.
  pid_t pid() const;
  int restarts() const;

  struct Impl;

 private:
  explicit Child(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::platform
