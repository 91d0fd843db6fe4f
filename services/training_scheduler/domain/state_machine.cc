#include "services/training_scheduler/domain/state_machine.h"

#include <algorithm>
#include <array>

namespace crossover::scheduler {
namespace {

using enum JobState;

constexpr std::array kMoves = {
    Move{kValidating, kBlocked, "scheduler: a dependency or start_time is not reached"},
    Move{kValidating, kQueued, "scheduler: valid and ready"},
    Move{kValidating, kFailed, "scheduler: fields are wrong, and named, or its deadline passed"},
    Move{kBlocked, kQueued, "scheduler: ready"},
    Move{kBlocked, kFailed, "scheduler: a dependency failed, or its deadline passed"},
    Move{kBlocked, kPaused, "Pause"},
    Move{kBlocked, kCancelled, "Cancel"},
    Move{kQueued, kRunning, "LeaseJob"},
    Move{kQueued, kFailed, "scheduler: its deadline passed"},
    Move{kQueued, kPaused, "Pause"},
    Move{kQueued, kCancelled, "Cancel"},
    Move{kRunning, kSucceeded, "CompleteJob"},
    Move{kRunning, kFailed, "CompleteJob, too many lost leases, or its deadline passed"},
    Move{kRunning, kQueued, "ReleaseLease (costs nothing), or the lease expired (one lease loss)"},
    Move{kRunning, kBlocked,
         "CompleteJob with an error worth retrying (one failure), or ReleaseLease by one of a gang "
         "that failed (one lease loss): after a pause"},
    Move{kRunning, kPausing, "Pause"},
    Move{kRunning, kCancelling, "Cancel"},
    Move{kPausing, kPaused, "ReleaseLease, or the lease expired"},
    Move{kPausing, kCancelling, "Cancel"},
    Move{kPausing, kSucceeded, "CompleteJob"},
    Move{kPaused, kQueued, "Resume"},
    Move{kPaused, kBlocked, "Resume, when a dependency or start_time is not reached"},
    Move{kPaused, kFailed, "scheduler: its deadline passed"},
    Move{kPaused, kCancelled, "Cancel"},
    Move{kCancelling, kCancelled, "ReleaseLease, CompleteJob, or the lease expired"},
    Move{kFailed, kQueued, "Retry"},
    Move{kFailed, kBlocked, "Retry"},
    Move{kCancelled, kQueued, "Retry"},
    Move{kCancelled, kBlocked, "Retry"},
};

}  // namespace

std::span<const Move> AllMoves() { return kMoves; }

bool IsLeased(JobState state) {
  return state == kRunning || state == kPausing || state == kCancelling;
}

bool IsTerminal(JobState state) {
  return state == kSucceeded || state == kFailed || state == kCancelled;
}

bool MayMove(JobState from, JobState to) {
  return std::any_of(kMoves.begin(), kMoves.end(),
                     [&](const Move& move) { return move.from == from && move.to == to; });
}

}  // namespace crossover::scheduler
