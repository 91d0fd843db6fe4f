// For how long a caller waits for a model that is being read.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/status/error.h"

namespace crossover::inference {

// The default waits for ever. Copies may be asked from any thread.
struct Patience {
  std::function<bool()> gone;  // Whether the client has gone; null: it never does.
  absl::Duration deadline = absl::InfiniteDuration();  // Of Clock::SteadyNow().

  // CANCELLED `CALL_CANCELLED` or DEADLINE_EXCEEDED `DEADLINE_PASSED` once there is nobody to wait
  // for the answer.
  absl::Status Check(absl::Duration steady_now) const {
    if (gone != nullptr && gone()) {
      return Error(absl::StatusCode::kCancelled, "CALL_CANCELLED",
                   "the client has gone while the model was being read");
    }
    if (steady_now < deadline) return absl::OkStatus();
    return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED",
                 "the deadline has passed while the model was being read; try again");
  }
};

}  // namespace crossover::inference
