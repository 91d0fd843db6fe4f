#include "services/training_scheduler/domain/leasing.h"

#include <utility>
#include <vector>

#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/job_machine.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

// A job that does not exist and a lease that is over mean the same to a worker.
absl::StatusOr<Job> FencedUpdate(JobStore& jobs, const LeaseToken& token,
                                 const JobStore::Mutation& mutation) {
  absl::StatusOr<Job> job = jobs.Update(token.job, mutation);
  if (absl::IsNotFound(job.status())) return LeaseLost("the job does not exist");
  return job;
}

}  // namespace

absl::StatusOr<std::optional<GrantedLease>> Leasing::TryLease(const LeaseRequest& request) {
  if (request.worker.empty() || request.incarnation.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 "worker and incarnation are required: who asks for a lease must be known");
  }
  const std::string secret = random_.Hex(16);
  const absl::Duration started = clock_.SteadyNow();
  ASSIGN_OR_RETURN(std::vector<Job> jobs, jobs_.Claim({.worker = request.worker,
                                                       .incarnation = request.incarnation,
                                                       .capabilities = request.capabilities,
                                                       .ttl = options_.ttl,
                                                       .token_hashes = {DigestOf(secret)}}));
  if (jobs.empty()) return std::optional<GrantedLease>();
  Job& job = jobs.front();
  metrics_.Claimed(job, clock_.SteadyNow() - started);
  GrantedLease granted{.job = std::move(job), .token = {}, .resume = std::nullopt};
  granted.token = {granted.job.id, granted.job.lease_epoch, secret};
  if (granted.job.last_checkpoint_step > 0) {
    granted.resume = Checkpoint{.step = granted.job.last_checkpoint_step,
                                .digest = granted.job.last_checkpoint_digest,
                                .adapter_digest = "",
                                .pinned = false,
                                .epoch = 0,
                                .create_time = {},
                                .metrics = {}};
  }
  return std::optional(std::move(granted));
}

absl::Status Leasing::Saw(const LeaseRequest& request) {
  WorkerRecord worker;
  worker.name = request.worker;
  worker.incarnation = request.incarnation;
  worker.version = request.version;
  worker.capabilities = request.capabilities;
  return jobs_.SawWorker(worker);
}

absl::StatusOr<HeartbeatReply> Leasing::Heartbeat(const LeaseToken& token,
                                                  const crossover::scheduler::Heartbeat& beat) {
  HeartbeatReply reply;
  RETURN_IF_ERROR(FencedUpdate(jobs_, token, [&](Job& job, absl::Time now, Effects& effects) {
                    return Beat(job, token, beat, options_.ttl, now, effects, reply);
                  }).status());
  return reply;
}

absl::StatusOr<Job> Leasing::RecordCheckpoint(const LeaseToken& token,
                                              const Checkpoint& checkpoint) {
  return FencedUpdate(jobs_, token, [&](Job& job, absl::Time now, Effects& effects) {
    return scheduler::RecordCheckpoint(job, token, checkpoint, now, effects);
  });
}

absl::StatusOr<Job> Leasing::Complete(const LeaseToken& token, const Outcome& outcome) {
  ASSIGN_OR_RETURN(Job job,
                   FencedUpdate(jobs_, token, [&](Job& mine, absl::Time now, Effects& effects) {
                     return scheduler::Complete(mine, token, outcome, options_.retry, now, effects);
                   }));
  if (IsTerminal(job.state)) metrics_.Ended(job);
  return job;
}

absl::StatusOr<Job> Leasing::Release(const LeaseToken& token, ReleaseReason reason) {
  ASSIGN_OR_RETURN(Job job,
                   FencedUpdate(jobs_, token, [&](Job& mine, absl::Time now, Effects& effects) {
                     return scheduler::Release(mine, token, reason, options_.retry, now, effects);
                   }));
  if (reason == ReleaseReason::kCrashed) metrics_.LeaseLost("crashed");
  return job;
}

absl::StatusOr<std::optional<Job>> Leasing::Crashed(const std::string& worker,
                                                    const std::string& incarnation,
                                                    const std::string& how) {
  ASSIGN_OR_RETURN(std::vector<JobId> ids, jobs_.LeasedBy(worker, incarnation));
  std::optional<Job> last;
  for (const JobId& id : ids) {
    ASSIGN_OR_RETURN(Job job, jobs_.Update(id, [&](Job& mine, absl::Time now, Effects& effects) {
      return Crash(mine, worker, incarnation, how, options_.retry, now, effects);
    }));
    metrics_.LeaseLost("crashed");
    last = std::move(job);
  }
  return last;
}

}  // namespace crossover::scheduler
