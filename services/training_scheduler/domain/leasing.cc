#include "services/training_scheduler/domain/leasing.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
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
                                                       .token_hashes = {DigestOf(secret)},
                                                       .project = request.project}));
  if (jobs.empty()) return std::optional<GrantedLease>();
  Job& job = jobs.front();
  metrics_.Claimed(job, clock_.SteadyNow() - started);
  GrantedLease granted{.job = std::move(job), .token = {}, .resume = std::nullopt, .earlier = {}};
  granted.token = {granted.job.id, granted.job.lease_epoch, secret};
  if (granted.job.last_checkpoint_step > 0) {
    granted.resume = Checkpoint{.step = granted.job.last_checkpoint_step,
                                .digest = granted.job.last_checkpoint_digest,
                                .adapter_digest = "",
                                .pinned = false,
                                .epoch = 0,
                                .create_time = {},
                                .metrics = {}};
    ASSIGN_OR_RETURN(granted.earlier, EarlierCheckpoints(granted.job));
  }
  return std::optional(std::move(granted));
}

absl::StatusOr<std::vector<Checkpoint>> Leasing::EarlierCheckpoints(const Job& job) {
  ASSIGN_OR_RETURN(std::vector<Checkpoint> checkpoints, jobs_.Checkpoints(job.id));
  std::erase_if(checkpoints, [&](const Checkpoint& checkpoint) {
    return checkpoint.digest == job.last_checkpoint_digest;
  });
  std::sort(checkpoints.begin(), checkpoints.end(), [](const Checkpoint& a, const Checkpoint& b) {
    return std::tie(b.epoch, b.step) < std::tie(a.epoch, a.step);
  });
  return checkpoints;
}

absl::Status Leasing::Saw(const LeaseRequest& request) {
  if (request.worker.empty() || request.incarnation.empty()) return absl::OkStatus();  // nobody
  WorkerRecord worker;
  worker.name = request.worker;
  worker.incarnation = request.incarnation;
  worker.version = request.version;
  worker.capabilities = request.capabilities;
  ASSIGN_OR_RETURN(WorkerLife life, jobs_.SawWorker(worker));
  if (life == WorkerLife::kSame) return absl::OkStatus();
  if (life == WorkerLife::kReplaced) {
    return Error(absl::StatusCode::kFailedPrecondition, "RESOURCE_IN_USE",
                 absl::StrCat("another process that was started later works under the name '",
                              request.worker,
                              "'; give every worker a --worker-name of its own and restart this "
                              "one"));
  }
  ASSIGN_OR_RETURN(std::vector<JobId> held, jobs_.LeasedBy(request.worker, ""));
  for (const JobId& id : held) {
    RETURN_IF_ERROR(
        EndLease(id, [&](Job& job, absl::Time now, Effects& effects) -> absl::Status {
          const bool others = !request.project.empty() && job.project != request.project;
          if (others || !job.lease.has_value() || job.lease->incarnation == request.incarnation) {
            return absl::OkStatus();
          }
          return Crash(job, request.worker, job.lease->incarnation, "its process was started anew",
                       options_.retry, now, effects);
        }).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<HeartbeatReply> Leasing::Heartbeat(const LeaseToken& token,
                                                  const crossover::scheduler::Heartbeat& beat) {
  HeartbeatReply reply;
  RETURN_IF_ERROR(FencedUpdate(jobs_, token, [&](Job& job, absl::Time now, Effects& effects) {
                    return Beat(job, token, beat, options_.ttl, now, effects, reply);
                  }).status());
  return reply;
}

absl::StatusOr<RecordedCheckpoint> Leasing::RecordCheckpoint(const LeaseToken& token,
                                                             const Checkpoint& checkpoint) {
  RecordedCheckpoint recorded;
  ASSIGN_OR_RETURN(recorded.job,
                   FencedUpdate(jobs_, token, [&](Job& job, absl::Time now, Effects& effects) {
                     return scheduler::RecordCheckpoint(job, token, checkpoint, now, effects);
                   }));
  ASSIGN_OR_RETURN(recorded.released, jobs_.PruneCheckpoints(token.job));
  return recorded;
}

int64_t Leasing::SizeOf(const Outputs& outputs) {
  const std::string& digest =
      outputs.adapter_digest.empty() ? outputs.artifact_digest : outputs.adapter_digest;
  if (blobs_ == nullptr || digest.empty()) return 0;
  const absl::StatusOr<Manifest> folder = blobs_->ReadManifest(digest);
  if (folder.ok()) return folder->TotalSize();
  return blobs_->SizeOf(digest).value_or(0);
}

absl::StatusOr<Job> Leasing::Complete(const LeaseToken& token, const Outcome& outcome) {
  Outcome measured = outcome;
  if (!outcome.error.has_value()) measured.outputs.bytes = SizeOf(outcome.outputs);
  ASSIGN_OR_RETURN(
      Job job, FencedUpdate(jobs_, token, [&](Job& mine, absl::Time now, Effects& effects) {
        return scheduler::Complete(mine, token, measured, options_.retry, now, effects);
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
  if (IsTerminal(job.state)) metrics_.Ended(job);
  return job;
}

// Counts what became of the lease; `mutation` may leave it alone.
absl::StatusOr<Job> Leasing::EndLease(const JobId& id, const JobStore::Mutation& mutation) {
  bool held = false;
  ASSIGN_OR_RETURN(Job job, jobs_.Update(id, [&](Job& mine, absl::Time now, Effects& effects) {
    held = mine.lease.has_value();
    return mutation(mine, now, effects);
  }));
  if (held && !job.lease.has_value()) {
    metrics_.LeaseLost("crashed");
    if (IsTerminal(job.state)) metrics_.Ended(job);
  }
  return job;
}

absl::StatusOr<std::optional<Job>> Leasing::Crashed(const std::string& worker,
                                                    const std::string& incarnation,
                                                    const std::string& how,
                                                    const std::string& project) {
  ASSIGN_OR_RETURN(std::vector<JobId> ids, jobs_.LeasedBy(worker, incarnation));
  std::optional<Job> last;
  for (const JobId& id : ids) {
    ASSIGN_OR_RETURN(Job job, EndLease(id, [&](Job& mine, absl::Time now, Effects& effects) {
                       if (!project.empty() && mine.project != project) return absl::OkStatus();
                       return Crash(mine, worker, incarnation, how, options_.retry, now, effects);
                     }));
    if (project.empty() || job.project == project) last = std::move(job);
  }
  return last;
}

}  // namespace crossover::scheduler
