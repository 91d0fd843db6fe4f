// A thread that runs a pass again and again: when its time has come, and soon after it is woken.
#pragma once

#include <functional>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace crossover::scheduler {

// Thread-safe. Wakes that come while a pass runs, or within `min_gap` of the last one, are joined
// into one pass.
class Ticker {
 public:
  // Returns how long to wait until the next pass if nobody wakes the ticker.
  using Pass = std::function<absl::Duration()>;

  Ticker(Pass pass, absl::Duration min_gap) : pass_(std::move(pass)), min_gap_(min_gap) {}
  ~Ticker() { Stop(); }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  void Start();
  void Wake();
  // Lets a running pass end, and joins. Idempotent.
  void Stop();

 private:
  void Run();

  const Pass pass_;
  const absl::Duration min_gap_;
  absl::Mutex mutex_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace crossover::scheduler
