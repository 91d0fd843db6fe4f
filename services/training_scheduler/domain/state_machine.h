// The states of a job and the moves between them, as a table. docs/state_machines.md explains it; a
// CHECK constraint repeats its two invariants (leased ⇔ a lease is recorded, terminal ⇔ finish_time
// is set).
#pragma once

#include <span>
#include <string_view>

#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

struct Move {
  JobState from;
  JobState to;
  std::string_view by;
};

std::span<const Move> AllMoves();

// RUNNING, PAUSING, CANCELLING.
bool IsLeased(JobState state);

// SUCCEEDED, FAILED, CANCELLED.
bool IsTerminal(JobState state);

bool MayMove(JobState from, JobState to);

}  // namespace crossover::scheduler
