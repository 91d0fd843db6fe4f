// Everything that may happen to one job. Pure functions of the job as it is under its row lock and
// of the database's time.
//
// A store calls one of these between reading a job FOR UPDATE and writing it back, in one
// transaction; so the fake and Postgres cannot differ in a decision, and the model checker can walk
// through all interleavings without a database. A function that returns an error has changed
// nothing that may be written. All moves go through the table in state_machine.h.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/lease.h"
#include "services/training_scheduler/domain/model.h"
#include "services/training_scheduler/domain/retry_policy.h"

namespace crossover::scheduler {

// What is written beside the job itself, in the same transaction.
struct Effects {
  std::vector<JobEvent> events;
  std::vector<MetricPoint> metrics;
  std::vector<Checkpoint> checkpoints;
  std::vector<ModelVersion> models;  // to register
  // The job became terminal: those who want to be told of its end by webhook are.
  bool ended = false;
  // False for a mere beat: update_time and etag stay, and nobody is notified.
  bool notable = true;
};

// What validation found out.
struct Validated {
  std::string base_model;  // slug of the model that was meant
  ResolvedSpec resolved;
  Inputs inputs;
  Consumption estimate;
};

// Whether a BLOCKED job's dependencies let it run.
enum class Dependencies { kMet, kWaiting, kFailed };

// VALIDATING → QUEUED, or BLOCKED while a dependency or start_time is not reached.
absl::Status Accept(Job& job, const Validated& validated, Dependencies dependencies, absl::Time now,
                    Effects& effects);
// VALIDATING → FAILED with a USER error.
absl::Status Reject(Job& job, const std::string& message, absl::Time now, Effects& effects);
// Any state that may end by itself → FAILED JOB_DEADLINE_PASSED once the deadline has passed; a
// no-op otherwise. A PAUSING or CANCELLING job ends what it does first.
absl::Status EndOverdue(Job& job, absl::Time now, Effects& effects);
// BLOCKED → QUEUED or FAILED; nothing if it still waits.
absl::Status Unblock(Job& job, Dependencies dependencies, absl::Time now, Effects& effects);

// The verbs. Each is a no-op on a job that already is where the verb leads; otherwise
// FAILED_PRECONDITION STATE_INVALID names the state the job is in and those the verb works in.
absl::Status Cancel(Job& job, absl::Time now, Effects& effects);
absl::Status Pause(Job& job, absl::Time now, Effects& effects);
absl::Status Resume(Job& job, Dependencies dependencies, absl::Time now, Effects& effects);
// Refused as well while a job it depends on has failed, and when its deadline has passed.
absl::Status Retry(Job& job, Dependencies dependencies, absl::Time now, Effects& effects);

// QUEUED → RUNNING with the next epoch.
absl::Status Grant(Job& job, const LeaseRecord& lease, absl::Time now, Effects& effects);

// The rank of the worker that `token` is of, 0 for one alone. ABORTED LEASE_LOST unless it is of
// the job's present lease. An expired lease that nobody has taken still holds.
absl::StatusOr<int32_t> RankOf(const Job& job, const LeaseToken& token);
// As RankOf, and INVALID_ARGUMENT unless it is rank 0, which alone reports, records and completes.
absl::Status CheckFence(const Job& job, const LeaseToken& token);

// Under a lease. `token` is checked first. What a rank above 0 says in a beat is not stored: all of
// a gang do the same, and rank 0 tells.
absl::Status Beat(Job& job, const LeaseToken& token, const Heartbeat& beat, absl::Duration ttl,
                  absl::Time now, Effects& effects, HeartbeatReply& reply);
absl::Status RecordCheckpoint(Job& job, const LeaseToken& token, const Checkpoint& checkpoint,
                              absl::Time now, Effects& effects);
absl::Status Complete(Job& job, const LeaseToken& token, const Outcome& outcome,
                      const RetryPolicy& policy, absl::Time now, Effects& effects);
// `how`: of kCrashed, what went wrong; may be empty. A RUNNING job that crashed so is BLOCKED for
// the pause of a failure, as the worker that says it lives on.
absl::Status Release(Job& job, const LeaseToken& token, ReleaseReason reason,
                     const std::string& how, const RetryPolicy& policy, absl::Time now,
                     Effects& effects);

// Asks the holder of a RUNNING job to give its place to a more urgent one: its next beat is
// answered RELEASE. It costs the job nothing. A no-op otherwise.
absl::Status AskToRelease(Job& job, const JobId& urgent, absl::Time now, Effects& effects);

// The lease ran out (no-op if it has not, or if there is none).
absl::Status Expire(Job& job, const RetryPolicy& policy, absl::Time now, Effects& effects);
// A parent reaped the process that held the lease: as if the lease ran out now. No-op unless the
// lease is this incarnation's.
absl::Status Crash(Job& job, const std::string& worker, const std::string& incarnation,
                   const std::string& how, const RetryPolicy& policy, absl::Time now,
                   Effects& effects);

// When the job took the place in line that it has.
absl::Time LineTime(const Job& job);

// Key of the claim order: smaller first. Ageing without a sort: a priority point is worth
// `kAgeingStep` of waiting.
inline constexpr absl::Duration kAgeingStep = absl::Minutes(10);
absl::Time RankTime(const Job& job);

}  // namespace crossover::scheduler
