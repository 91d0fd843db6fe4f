// A clock that moves only when a test says so.
#pragma once

#include "absl/synchronization/mutex.h"
#include "common/time/clock.h"

namespace crossover {

// Thread-safe. SleepFor blocks until Advance has moved time far enough.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'800'000'000)) : now_(start) {}

  absl::Time Now() override;
  absl::Duration SteadyNow() override;
  void SleepFor(absl::Duration duration) override;

  // Moves both clocks forward and wakes the sleepers whose time has come.
  void Advance(absl::Duration duration);

  // Moves the wall clock alone, as a correction by NTP or a person would. May be negative.
  void JumpWallClock(absl::Duration duration);

  // Blocks until `count` threads sleep on this clock, so that a test can advance without a race.
  void WaitForSleepers(int count);

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  absl::Duration steady_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(1000);
  int sleepers_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace crossover
