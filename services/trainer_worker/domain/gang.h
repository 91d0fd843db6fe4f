// The workers that train one job together (LeasedJob::gang), as one of them sees them. Alone, all
// of it does nothing.
//
// Every rank holds its lease and does every step; what makes them stop is agreed on after each
// step, so that all stop after the same one. Rank 0 writes checkpoints, publishes, and ends the
// lease of all; the others wait for that (AwaitLeader).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/train/collective.h"
#include "services/trainer_worker/domain/job_context.h"
#include "services/trainer_worker/domain/train_engine.h"

namespace crossover::worker {

// True for rank 0 and for a worker alone.
inline bool Leads(const LeasedJob& job) { return job.gang.rank == 0; }

// Keeps the lease until it is over: until rank 0 has ended it for all, or somebody is lost.
void AwaitLeader(JobContext& context);

// What a worker begins with; meaningful if it could.
struct GangStart {
  TrainTerms terms;
  std::string checkpoint;  // digest; empty: none
};

// Used by one thread. Borrows the context.
class Gang {
 public:
  explicit Gang(JobContext& context) : context_(context) {}

  bool alone() const { return context_.job().gang.size <= 1; }
  bool leads() const { return Leads(context_.job()); }
  // nullptr: alone, or not met yet.
  const std::shared_ptr<llm::Collective>& peers() const { return peers_; }

  // Meets the others, at most kMeetTimeout. Not kNone: this worker is asked to stop.
  // UNAVAILABLE PEER_LOST: somebody did not come.
  absl::StatusOr<Stop> Meet();

  // How it went for everybody before the first step: `mine` here, with what this worker begins
  // with. All get an error if one has one, and UNAVAILABLE if one begins with something else than
  // rank 0, which is named: WORKERS_DIFFER, or CHECKPOINT_MISMATCH.
  absl::StatusOr<Stop> AgreeOnStart(const absl::Status& mine, Stop stop, const GangStart& start);

  // What all do: what one of them is asked to. Not for kLost: who has lost its lease leaves, and is
  // missed.
  absl::StatusOr<Stop> Agree(Stop stop);

 private:
  absl::StatusOr<Stop> AgreeWith(std::span<double> numbers, Stop stop);

  JobContext& context_;
  std::shared_ptr<llm::Collective> peers_;
  bool meeting_ = false;
  Stop asked_ = Stop::kNone;  // while meeting
};

inline constexpr absl::Duration kMeetTimeout = absl::Minutes(1);
// A process that hangs is missed by its lease much sooner, one that is cut off from its peers alone
// by these: rank 0 may be storing a large checkpoint, and before the first sum one may be fetching
// a large base.
inline constexpr absl::Duration kSumTimeout = absl::Minutes(10);
inline constexpr absl::Duration kFirstSumTimeout = absl::Hours(1);

}  // namespace crossover::worker
