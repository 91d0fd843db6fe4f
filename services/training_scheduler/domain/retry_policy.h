// When a job is tried again, and after how long. Pure.
#pragma once

#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

struct RetryPolicy {
  int32_t max_lease_losses = 5;  // in a row, without checkpoint progress between them
  absl::Duration first_delay = absl::Seconds(10);
  absl::Duration max_delay = absl::Minutes(10);

  // True if an attempt that ended with `error_class` may be tried again after `failure_count`
  // failures (this one included).
  bool MayRetry(ErrorClass error_class, int32_t failure_count, int32_t max_failures) const {
    return error_class != ErrorClass::kUser && failure_count < max_failures;
  }

  // Doubles with every failure: 10 s, 20 s, 40 s … up to max_delay.
  absl::Duration Delay(int32_t failure_count) const {
    absl::Duration delay = first_delay;
    for (int32_t i = 1; i < failure_count && delay < max_delay; ++i) delay *= 2;
    return delay < max_delay ? delay : max_delay;
  }
};

}  // namespace crossover::scheduler
