// Time as a dependency. Nothing outside common/time may ask the system for the time or sleep
// (checked by ./dev lint).
#pragma once

#include "absl/time/time.h"

namespace crossover {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall-clock time: for what people read. May jump.
  virtual absl::Time Now() = 0;

  // Monotonic time since an arbitrary moment: for durations, deadlines and leases.
  virtual absl::Duration SteadyNow() = 0;

  // Blocks the calling thread.
  virtual void SleepFor(absl::Duration duration) = 0;
};

// The machine's clock. Lives for the whole process.
Clock& SystemClock();

}  // namespace crossover
