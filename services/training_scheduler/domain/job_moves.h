// What all of job_machine.h is made of: a job's moves and the events that tell of them.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/job_machine.h"

namespace crossover::scheduler {

// An event of the job's present epoch; the store gives it its time and its place.
JobEvent EventOf(EventLevel level, EventType type, std::string message, const Job& job);

// An event's data: a JSON object of strings.
std::string DataOf(std::initializer_list<std::pair<const char*, std::string_view>> pairs);

// The one place where a job's state changes. Keeps both invariants of the schema. INTERNAL
// JOB_MOVE_UNKNOWN if the table has no such move.
absl::Status MoveTo(Job& job, JobState to, const std::string& why, absl::Time now,
                    Effects& effects);

// Moves to FAILED with `error`, which gets the job's last lines of log unless it has its own.
absl::Status Fail(Job& job, JobError error, absl::Time now, Effects& effects);

// FAILED_PRECONDITION STATE_INVALID: `verb` works on jobs that are `works_in`, which this is not.
absl::Status WrongState(const Job& job, std::string_view verb, std::string_view works_in);

}  // namespace crossover::scheduler
