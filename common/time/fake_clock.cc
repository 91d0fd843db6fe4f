#include "common/time/fake_clock.h"

namespace crossover {

absl::Time FakeClock::Now() {
  absl::MutexLock lock(&mutex_);
  return now_;
}

absl::Duration FakeClock::SteadyNow() {
  absl::MutexLock lock(&mutex_);
  return steady_;
}

void FakeClock::SleepFor(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  const absl::Duration until = steady_ + duration;
  const auto reached = [this, until] {
    mutex_.AssertHeld();
    return steady_ >= until;
  };
  ++sleepers_;
  mutex_.Await(absl::Condition(&reached));
  --sleepers_;
}

void FakeClock::Advance(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  now_ += duration;
  steady_ += duration;
}

void FakeClock::JumpWallClock(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  now_ += duration;
}

void FakeClock::WaitForSleepers(int count) {
  absl::MutexLock lock(&mutex_);
  const auto enough = [this, count] {
    mutex_.AssertHeld();
    return sleepers_ >= count;
  };
  mutex_.Await(absl::Condition(&enough));
}

}  // namespace crossover
