// job_machine.h, what happens under a lease: its beats, its checkpoints and its ends.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/finished_model.h"
#include "services/training_scheduler/domain/gang.h"
#include "services/training_scheduler/domain/job_machine.h"
#include "services/training_scheduler/domain/job_moves.h"
#include "services/training_scheduler/domain/suffix.h"

namespace crossover::scheduler {
namespace {

using enum JobState;

constexpr size_t kLogTailBytes = 8192;

bool IsUtf8Continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The last bytes of all lines, from the beginning of a character on.
void AppendLog(Job& job, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) absl::StrAppend(&job.log_tail, line, "\n");
  if (job.log_tail.size() <= kLogTailBytes) return;
  size_t from = job.log_tail.size() - kLogTailBytes;
  while (from < job.log_tail.size() && IsUtf8Continuation(job.log_tail[from])) ++from;
  job.log_tail.erase(0, from);
}

// After a lost lease others may have the job at once, but for one whose worker lives on: it would
// be the first to take it again, and fail again.
enum class Again { kAtOnce, kAfterAPause };

// Whose worker was lost or went away: that is not the job's doing, and with a day's backlog in line
// it would stand half done for a day. It has the place in line that it had.
absl::Status MoveBackToItsPlace(Job& job, const std::string& why, absl::Time now,
                                Effects& effects) {
  const absl::Time place = LineTime(job);
  RETURN_IF_ERROR(MoveTo(job, kQueued, why, now, effects));
  job.line_time = place;
  return absl::OkStatus();
}

// One more lost lease of a RUNNING job.
absl::Status LoseRunning(Job& job, const std::string& why, Again again, const RetryPolicy& policy,
                         absl::Time now, Effects& effects) {
  job.lease_loss_count += 1;
  job.checkpoint_step_at_loss = job.last_checkpoint_step;
  effects.events.push_back(EventOf(EventLevel::kWarn, EventType::kLeaseExpired, why, job));
  if (job.lease_loss_count < policy.max_lease_losses) {
    if (again == Again::kAtOnce) return MoveBackToItsPlace(job, why, now, effects);
    job.start_time = now + policy.Delay(job.lease_loss_count);
    return MoveTo(job, kBlocked, absl::StrCat("tried again after a pause: ", why), now, effects);
  }
  return Fail(
      job,
      {ErrorClass::kInfrastructure, "LEASES_EXHAUSTED",
       absl::StrCat(job.lease_loss_count, " workers in a row were lost without a new checkpoint (",
                    why, "); look at the workers' logs and memory, then retry"),
       "", ""},
      now, effects);
}

// The lease is over without a result.
absl::Status Lose(Job& job, const std::string& why, Again again, const RetryPolicy& policy,
                  absl::Time now, Effects& effects) {
  // A worker that was killed says no last words.
  AppendLog(job, {absl::StrCat("scheduler: lease ", job.lease_epoch, " ended: ", why)});
  if (job.state == kPausing) return MoveTo(job, kPaused, why, now, effects);
  if (job.state == kCancelling) return MoveTo(job, kCancelled, why, now, effects);
  return LoseRunning(job, why, again, policy, now, effects);
}

// A worker's clock may be wrong, and what it says is sorted with the scheduler's own events: a
// point was made under the lease, by the scheduler's clock.
absl::Time WithinLease(absl::Time said, const LeaseRecord& lease, absl::Time now) {
  if (said == absl::Time()) return now;
  return std::max(lease.grant_time, std::min(said, now));
}

// What a beat carries, once each.
void Apply(Job& job, const Heartbeat& beat, absl::Time now, Effects& effects) {
  int64_t& accepted = job.lease->last_worker_seq;
  for (JobEvent event : beat.events) {
    if (event.worker_seq <= accepted) continue;
    accepted = event.worker_seq;
    event.epoch = job.lease_epoch;
    effects.events.push_back(std::move(event));
  }
  if (beat.worker_seq <= accepted) return;
  accepted = beat.worker_seq;
  job.progress = beat.progress;
  job.actual.peak_memory_bytes = std::max(job.actual.peak_memory_bytes, beat.peak_memory_bytes);
  AppendLog(job, beat.log_lines);
  for (MetricPoint point : beat.metrics) {
    point.epoch = job.lease_epoch;
    point.time = WithinLease(point.time, *job.lease, now);
    effects.metrics.push_back(std::move(point));
  }
}

// A lease ends when the first of its ranks does.
void Renew(LeaseRecord& lease, int32_t rank, absl::Time until) {
  lease.expire_time = until;
  for (GangMember& member : lease.gang) {
    if (member.rank == rank) member.expire_time = until;
    lease.expire_time = std::min(lease.expire_time, member.expire_time);
  }
}

void NoteUsage(LeaseRecord& lease, int32_t rank, WorkerUsage usage, absl::Time now) {
  std::optional<WorkerUsage>* place = &lease.usage;
  for (GangMember& member : lease.gang) {
    if (member.rank == rank) place = &member.usage;
  }
  usage.time = now;
  *place = std::move(usage);
}

// Who has not been heard of for longest.
std::string_view SilentWorker(const LeaseRecord& lease) {
  for (const GangMember& member : lease.gang) {
    if (member.expire_time == lease.expire_time) return member.worker;
  }
  return lease.worker;
}

// Attempts add up.
void AddActual(Job& job, const Consumption& attempt) {
  job.actual.seconds += attempt.seconds;
  job.actual.tokens += attempt.tokens;
  job.actual.cost_usd += attempt.cost_usd;
  job.actual.peak_memory_bytes = std::max(job.actual.peak_memory_bytes, attempt.peak_memory_bytes);
}

Directive DirectiveFor(const Job& job) {
  if (job.state == kPausing) return Directive::kPause;
  if (job.state == kCancelling) return Directive::kCancel;
  if (job.lease->asked_to_release) return Directive::kRelease;
  return Directive::kContinue;
}

absl::Status CompleteWithError(Job& job, JobError error, const RetryPolicy& policy, absl::Time now,
                               Effects& effects) {
  if (job.state == kCancelling) {
    return MoveTo(job, kCancelled, "cancelled; the attempt had failed", now, effects);
  }
  job.failure_count += 1;
  job.checkpoint_step_at_loss = job.last_checkpoint_step;
  JobEvent event = EventOf(EventLevel::kError, EventType::kAttemptFailed, error.message, job);
  event.data = DataOf({{"class", Name(error.error_class)}, {"reason", error.reason}});
  effects.events.push_back(std::move(event));
  if (job.state == kPausing) {
    job.error = std::move(error);
    return MoveTo(job, kPaused, "paused; the attempt had failed", now, effects);
  }
  if (!policy.MayRetry(error.error_class, job.failure_count, job.max_failures)) {
    return Fail(job, std::move(error), now, effects);
  }
  job.start_time = now + policy.Delay(job.failure_count);
  const std::string why = absl::StrCat("tried again after a pause: ", error.message);
  job.error = std::move(error);
  return MoveTo(job, kBlocked, why, now, effects);
}

}  // namespace

absl::StatusOr<int32_t> RankOf(const Job& job, const LeaseToken& token) {
  if (!job.lease.has_value()) {
    return LeaseLost(absl::StrCat("job ", job.id, " is ", ToAbsl(Name(job.state))));
  }
  const std::string hash = DigestOf(token.secret);
  if (token.epoch == job.lease_epoch) {
    if (hash == job.lease->token_hash) return 0;
    for (const GangMember& member : job.lease->gang) {
      if (hash == member.token_hash) return member.rank;
    }
  }
  return LeaseLost(absl::StrCat("epoch ", token.epoch, " of job ", job.id,
                                " is over, its present epoch is ", job.lease_epoch));
}

absl::Status CheckFence(const Job& job, const LeaseToken& token) {
  ASSIGN_OR_RETURN(int32_t rank, RankOf(job, token));
  if (rank == 0) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
               absl::StrCat("the token is of rank ", rank, " of the ", job.lease->gang.size(),
                            " workers that share job ", job.id,
                            "; rank 0 alone records checkpoints and completes"));
}

absl::Status Beat(Job& job, const LeaseToken& token, const Heartbeat& beat, absl::Duration ttl,
                  absl::Time now, Effects& effects, HeartbeatReply& reply) {
  ASSIGN_OR_RETURN(int32_t rank, RankOf(job, token));
  Renew(*job.lease, rank, now + ttl);
  if (beat.usage.has_value()) NoteUsage(*job.lease, rank, *beat.usage, now);
  if (rank == 0) Apply(job, beat, now, effects);
  effects.notable = false;
  reply = {DirectiveFor(job), ttl, rank == 0 ? job.lease->last_worker_seq : beat.worker_seq};
  return absl::OkStatus();
}

absl::Status RecordCheckpoint(Job& job, const LeaseToken& token, const Checkpoint& checkpoint,
                              absl::Time now, Effects& effects) {
  RETURN_IF_ERROR(CheckFence(job, token));
  // An epoch's steps rise, so this is a repeat. An earlier epoch's step may be higher: a worker
  // that could not read its checkpoint has started anew, and what it writes now is what counts.
  if (job.last_checkpoint_epoch == job.lease_epoch && checkpoint.step <= job.last_checkpoint_step) {
    return absl::OkStatus();
  }
  job.last_checkpoint_step = checkpoint.step;
  job.last_checkpoint_digest = checkpoint.digest;
  job.last_checkpoint_epoch = job.lease_epoch;
  if (checkpoint.step > job.checkpoint_step_at_loss) {
    job.failure_count = 0;
    job.lease_loss_count = 0;
  }
  Checkpoint recorded = checkpoint;
  recorded.epoch = job.lease_epoch;
  recorded.create_time = now;
  JobEvent event = EventOf(EventLevel::kInfo, EventType::kCheckpointRecorded,
                           absl::StrCat("checkpoint at step ", checkpoint.step), job);
  event.data = nlohmann::json{{"step", checkpoint.step}, {"digest", checkpoint.digest}}.dump();
  effects.events.push_back(std::move(event));
  effects.checkpoints.push_back(std::move(recorded));
  return absl::OkStatus();
}

absl::Status Complete(Job& job, const LeaseToken& token, const Outcome& outcome,
                      const RetryPolicy& policy, absl::Time now, Effects& effects) {
  RETURN_IF_ERROR(CheckFence(job, token));
  if (outcome.last_report.has_value()) Apply(job, *outcome.last_report, now, effects);
  AddActual(job, outcome.actual);
  if (outcome.error.has_value()) {
    return CompleteWithError(job, *outcome.error, policy, now, effects);
  }
  job.outputs = outcome.outputs;
  if (job.state == kCancelling) {
    return MoveTo(job, kCancelled, "cancelled; its artifacts are kept", now, effects);
  }
  job.error.reset();
  if (std::optional<ModelVersion> version = ModelOf(job, now)) {
    job.outputs.model_version = absl::StrCat("projects/", version->project, "/models/",
                                             version->model, "/versions/", version->digest);
    if (version->kind == ModelKind::kAdapter && job.kind != JobKind::kExport) {
      job.outputs.model_alias =
          absl::StrCat("ft:", job.base_model, ":", job.project, ":",
                       SuffixSlug(job.spec.training.suffix), ":", job.id.substr(job.id.size() - 8));
      version->alias = job.outputs.model_alias;
    }
    effects.models.push_back(*std::move(version));
  }
  return MoveTo(job, kSucceeded, "finished", now, effects);
}

absl::Status Release(Job& job, const LeaseToken& token, ReleaseReason reason,
                     const std::string& how, const RetryPolicy& policy, absl::Time now,
                     Effects& effects) {
  ASSIGN_OR_RETURN(int32_t rank, RankOf(job, token));
  const std::string worker = job.lease->gang.empty()
                                 ? job.lease->worker
                                 : job.lease->gang[static_cast<size_t>(rank)].worker;
  const std::string why =
      absl::StrCat("worker ", worker, " gave the lease back: ", ToAbsl(Name(reason)),
                   how.empty() ? "" : ": ", how);
  if (reason == ReleaseReason::kCrashed || job.state != kRunning) {
    return Lose(job, why, Again::kAfterAPause, policy, now, effects);
  }
  if (reason == ReleaseReason::kDrain) return MoveBackToItsPlace(job, why, now, effects);
  return MoveTo(job, kQueued, why, now, effects);  // behind the job that it gave its place to
}

absl::Status AskToRelease(Job& job, const JobId& urgent, absl::Time, Effects& effects) {
  if (job.state != kRunning || job.lease->asked_to_release) {
    effects.notable = false;
    return absl::OkStatus();
  }
  job.lease->asked_to_release = true;
  effects.events.push_back(EventOf(
      EventLevel::kInfo, EventType::kMessage,
      absl::StrCat("asked to give its place to job ", urgent, ", which is more urgent"), job));
  return absl::OkStatus();
}

absl::Status Expire(Job& job, const RetryPolicy& policy, absl::Time now, Effects& effects) {
  if (!job.lease.has_value() || job.lease->expire_time >= now) return absl::OkStatus();
  return Lose(
      job, absl::StrCat("worker ", ToAbsl(SilentWorker(*job.lease)), " was not heard of in time"),
      Again::kAtOnce, policy, now, effects);
}

absl::Status Crash(Job& job, const std::string& worker, const std::string& incarnation,
                   const std::string& how, const RetryPolicy& policy, absl::Time now,
                   Effects& effects) {
  if (!HeldBy(job, worker, incarnation)) return absl::OkStatus();
  return Lose(job, absl::StrCat("worker ", worker, " crashed", how.empty() ? "" : ": ", how),
              Again::kAtOnce, policy, now, effects);
}

}  // namespace crossover::scheduler
