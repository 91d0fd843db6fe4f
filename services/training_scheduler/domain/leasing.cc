#include "services/training_scheduler/domain/leasing.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/check_outputs.h"
#include "services/training_scheduler/domain/gang.h"
#include "services/training_scheduler/domain/job_machine.h"
#include "services/training_scheduler/domain/price.h"
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

absl::Status CheckNamed(const LeaseRequest& request) {
  if (!request.worker.empty() && !request.incarnation.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
               "worker and incarnation are required: who asks for a lease must be known");
}

// More names than a deployment has workers: some have gone.
constexpr size_t kManyNames = 10'000;

}  // namespace

bool SameWishes(const LeaseRequest& a, const LeaseRequest& b) {
  return a.project == b.project && a.capabilities.kinds == b.capabilities.kinds &&
         a.capabilities.queues == b.capabilities.queues &&
         a.capabilities.device == b.capabilities.device &&
         a.capabilities.memory_bytes == b.capabilities.memory_bytes &&
         a.capabilities.gang == b.capabilities.gang;
}

bool MayShareJobs(const LeaseRequest& a, const LeaseRequest& b) {
  return a.project == b.project && a.capabilities.kinds == b.capabilities.kinds &&
         a.capabilities.queues == b.capabilities.queues &&
         a.capabilities.device == b.capabilities.device && a.capabilities.gang > 1 &&
         b.capabilities.gang > 1;
}

absl::StatusOr<std::optional<GrantedLease>> Leasing::TryLease(const LeaseRequest& request) {
  ASSIGN_OR_RETURN(auto granted, TryLeaseAll({request}));
  if (granted.empty()) return std::optional<GrantedLease>();
  return std::optional(std::move(granted.front().second));
}

absl::StatusOr<std::vector<std::pair<size_t, GrantedLease>>> Leasing::TryLeaseAll(
    const std::vector<LeaseRequest>& requests) {
  ClaimRequest claim{.capabilities = requests.front().capabilities,
                     .ttl = options_.ttl,
                     .claimants = {},
                     .project = requests.front().project};
  std::vector<std::string> secrets;
  std::map<std::string, size_t> places;  // by token hash
  for (const LeaseRequest& request : requests) {
    RETURN_IF_ERROR(CheckNamed(request));
    secrets.push_back(random_.Hex(16));
    claim.claimants.push_back({.worker = request.worker,
                               .incarnation = request.incarnation,
                               .token_hash = DigestOf(secrets.back()),
                               .rendezvous = "",
                               .bases = request.capabilities.base_digests});
    places[claim.claimants.back().token_hash] = secrets.size() - 1;
  }
  const absl::Duration started = clock_.SteadyNow();
  ASSIGN_OR_RETURN(std::vector<Job> jobs, jobs_.Claim(claim));
  const absl::Duration took = clock_.SteadyNow() - started;
  std::vector<std::pair<size_t, GrantedLease>> granted;
  for (Job& job : jobs) {
    metrics_.Claimed(job, took);
    const size_t place = places.at(job.lease->token_hash);
    granted.emplace_back(place, Grant(std::move(job), std::move(secrets[place])));
  }
  return granted;
}

absl::StatusOr<std::vector<std::pair<size_t, GrantedLease>>> Leasing::TryLeaseGang(
    const std::vector<LeaseRequest>& requests) {
  std::vector<std::pair<size_t, GrantedLease>> granted;
  ClaimRequest claim{.capabilities = requests.front().capabilities,
                     .ttl = options_.ttl,
                     .claimants = {},
                     .project = requests.front().project};
  std::vector<std::string> secrets;
  std::map<std::string, size_t> places;  // by token hash
  for (const LeaseRequest& request : requests) {
    RETURN_IF_ERROR(CheckNamed(request));
    secrets.push_back(random_.Hex(16));
    claim.claimants.push_back({.worker = request.worker,
                               .incarnation = request.incarnation,
                               .token_hash = DigestOf(secrets.back()),
                               .rendezvous = request.rendezvous,
                               .bases = {},
                               .memory_bytes = request.capabilities.memory_bytes,
                               .gang = request.capabilities.gang,
                               .compute_types = request.capabilities.compute_types});
    places[claim.claimants.back().token_hash] = secrets.size() - 1;
  }
  const auto for_some = [&](bool asks_float32) {
    return std::ranges::any_of(GangLimits(claim.claimants, asks_float32),
                               [](int64_t memory) { return memory >= 0; });
  };
  if (!for_some(false) && !for_some(true)) return granted;
  const absl::Duration started = clock_.SteadyNow();
  ASSIGN_OR_RETURN(std::vector<Job> jobs, jobs_.ClaimGang(claim));
  for (const Job& job : jobs) {
    metrics_.Claimed(job, clock_.SteadyNow() - started);
    const auto size = static_cast<int32_t>(job.lease->gang.size());
    for (const GangMember& member : job.lease->gang) {
      const size_t place = places.at(member.token_hash);
      GrantedLease lease = Grant(job, std::move(secrets[place]));
      lease.gang = GangPlace{member.rank, size, job.lease->rendezvous};
      granted.emplace_back(place, std::move(lease));
    }
  }
  return granted;
}

GrantedLease Leasing::Grant(Job job, std::string secret) {
  GrantedLease granted;
  granted.job = std::move(job);
  granted.token = {granted.job.id, granted.job.lease_epoch, std::move(secret)};
  if (granted.job.last_checkpoint_step > 0) {
    granted.resume = Checkpoint{.step = granted.job.last_checkpoint_step,
                                .digest = granted.job.last_checkpoint_digest,
                                .adapter_digest = "",
                                .pinned = false,
                                .epoch = 0,
                                .create_time = {},
                                .metrics = {}};
    // The job is the worker's already; should the last checkpoint be damaged, it starts anew.
    if (auto earlier = EarlierCheckpoints(granted.job); earlier.ok()) {
      granted.earlier = *std::move(earlier);
    }
  }
  return granted;
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

bool Leasing::SeenLately(const LeaseRequest& request) {
  absl::MutexLock lock(&mutex_);
  const auto found = seen_.find(request.worker);
  return found != seen_.end() && found->second.incarnation == request.incarnation &&
         clock_.SteadyNow() - found->second.when < kSeenAgain;
}

absl::Status Leasing::Saw(const LeaseRequest& request) {
  RETURN_IF_ERROR(CheckNamed(request));
  if (SeenLately(request)) return absl::OkStatus();
  WorkerRecord worker;
  worker.name = request.worker;
  worker.incarnation = request.incarnation;
  worker.version = request.version;
  worker.capabilities = request.capabilities;
  worker.only_project = request.project;
  worker.usage = request.usage;
  ASSIGN_OR_RETURN(WorkerLife life, jobs_.SawWorker(worker));
  if (life == WorkerLife::kReplaced) {
    return Error(absl::StatusCode::kFailedPrecondition, "RESOURCE_IN_USE",
                 absl::StrCat("another process that was started later works under the name '",
                              request.worker,
                              "'; give every worker a --worker-name of its own and restart this "
                              "one"));
  }
  if (life == WorkerLife::kNew) RETURN_IF_ERROR(EndEarlierLives(request));
  absl::MutexLock lock(&mutex_);
  const absl::Duration now = clock_.SteadyNow();
  if (seen_.size() > kManyNames) {
    std::erase_if(seen_, [&](const auto& entry) { return now - entry.second.when >= kSeenAgain; });
  }
  seen_[request.worker] = {request.incarnation, now};
  return absl::OkStatus();
}

absl::Status Leasing::EndEarlierLives(const LeaseRequest& request) {
  ASSIGN_OR_RETURN(std::vector<JobId> held, jobs_.LeasedBy(request.worker, ""));
  for (const JobId& id : held) {
    RETURN_IF_ERROR(EndLease(id, [&](Job& job, absl::Time now, Effects& effects) -> absl::Status {
                      const bool others =
                          !request.project.empty() && job.project != request.project;
                      const std::string life = HolderOf(job, request.worker);
                      if (others || life.empty() || life == request.incarnation)
                        return absl::OkStatus();
                      return Crash(job, request.worker, life, "its process was started anew",
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
  if (!outcome.error.has_value()) {
    if (blobs_ != nullptr) RETURN_IF_ERROR(CheckOutputs(*blobs_, outcome.outputs));
    measured.outputs.bytes = SizeOf(outcome.outputs);
  }
  ASSIGN_OR_RETURN(
      Job job, FencedUpdate(jobs_, token, [&](Job& mine, absl::Time now, Effects& effects) {
        measured.actual.cost_usd =
            CostOf(options_.device_hour_usd, outcome.actual.seconds, mine.requirements.gang_size);
        return scheduler::Complete(mine, token, measured, options_.retry, now, effects);
      }));
  if (IsTerminal(job.state)) metrics_.Ended(job);
  return job;
}

absl::StatusOr<Job> Leasing::Release(const LeaseToken& token, ReleaseReason reason,
                                     const std::string& how) {
  ASSIGN_OR_RETURN(
      Job job, FencedUpdate(jobs_, token, [&](Job& mine, absl::Time now, Effects& effects) {
        return scheduler::Release(mine, token, reason, how, options_.retry, now, effects);
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

absl::Status Leasing::Left(const std::string& worker, const std::string& incarnation,
                           const std::string& project) {
  {
    absl::MutexLock lock(&mutex_);
    seen_.erase(worker);
  }
  return jobs_.WorkerLeft(worker, incarnation, project);
}

}  // namespace crossover::scheduler
