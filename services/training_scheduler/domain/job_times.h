// What the times that a job is asked to keep may be: of the years 1 to 9999, as
// google.protobuf.Timestamp has them and the database keeps them in microseconds.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "common/status/error.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

bool IsOfCalendar(absl::Time time);

// What is wrong with `start_time` and `deadline`, which these violations name. A start after the
// deadline counts until the job has run: later on, start_time is the end of a pause after a
// failure.
std::vector<FieldViolation> CheckTimes(const Job& job);

}  // namespace crossover::scheduler
