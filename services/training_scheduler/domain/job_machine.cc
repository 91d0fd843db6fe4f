#include "services/training_scheduler/domain/job_machine.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/gang.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

using enum JobState;

constexpr size_t kLogTailBytes = 8192;

JobEvent Event(EventLevel level, EventType type, std::string message, const Job& job) {
  JobEvent event;
  event.level = level;
  event.type = type;
  event.message = std::move(message);
  event.epoch = job.lease_epoch;
  return event;
}

std::string Data(std::initializer_list<std::pair<const char*, std::string_view>> pairs) {
  nlohmann::json object = nlohmann::json::object();
  for (const auto& [key, value] : pairs) object[key] = value;
  return object.dump();
}

// The one place where a job's state changes. Keeps both invariants of the schema.
absl::Status MoveTo(Job& job, JobState to, const std::string& why, absl::Time now,
                    Effects& effects) {
  if (!MayMove(job.state, to)) {
    return Error(absl::StatusCode::kInternal, "JOB_MOVE_UNKNOWN",
                 absl::StrCat("no move from ", ToAbsl(Name(job.state)), " to ", ToAbsl(Name(to))));
  }
  JobEvent event = Event(to == kFailed ? EventLevel::kError : EventLevel::kInfo,
                         EventType::kStateChanged, why, job);
  event.data = Data({{"from", Name(job.state)}, {"to", Name(to)}});
  effects.events.push_back(std::move(event));
  job.state = to;
  job.state_reason = why;
  if (!IsLeased(to)) job.lease.reset();
  effects.ended = IsTerminal(to);
  if (job.lease.has_value()) job.lease->asked_to_release = false;
  job.finish_time = IsTerminal(to) ? std::optional(now) : std::nullopt;
  if (to == kQueued) job.ready_time = now;
  return absl::OkStatus();
}

absl::Status WrongState(const Job& job, std::string_view verb, std::string_view works_in) {
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat("job ", job.id, " is ", ToAbsl(Name(job.state)), "; ", ToAbsl(verb),
                            " works on jobs that are ", ToAbsl(works_in)),
               {.reason = "STATE_INVALID",
                .metadata = {{"state", std::string(Name(job.state))}},
                .violations = {}});
}

bool StartTimeReached(const Job& job, absl::Time now) {
  return !job.start_time.has_value() || *job.start_time <= now;
}

bool DeadlinePassed(const Job& job, absl::Time now) {
  return job.deadline.has_value() && *job.deadline <= now;
}

// QUEUED or BLOCKED, whichever is true: every QUEUED job is ready.
absl::Status MoveToLine(Job& job, Dependencies dependencies, const std::string& why, absl::Time now,
                        Effects& effects) {
  if (dependencies == Dependencies::kMet && StartTimeReached(job, now)) {
    return MoveTo(job, kQueued, why, now, effects);
  }
  return MoveTo(job, kBlocked,
                dependencies == Dependencies::kMet ? "waits for its start time"
                                                   : "waits for the jobs it depends on",
                now, effects);
}

absl::Status Fail(Job& job, JobError error, absl::Time now, Effects& effects) {
  if (error.log_tail.empty()) error.log_tail = job.log_tail;
  const std::string why = error.message;
  job.error = std::move(error);
  return MoveTo(job, kFailed, why, now, effects);
}

// After a lost lease others may have the job at once, but for one whose worker lives on: it would
// be the first to take it again, and fail again.
enum class Again { kAtOnce, kAfterAPause };

// One more lost lease of a RUNNING job.
absl::Status LoseRunning(Job& job, const std::string& why, Again again, const RetryPolicy& policy,
                         absl::Time now, Effects& effects) {
  job.lease_loss_count += 1;
  job.checkpoint_step_at_loss = job.last_checkpoint_step;
  effects.events.push_back(Event(EventLevel::kWarn, EventType::kLeaseExpired, why, job));
  if (job.lease_loss_count < policy.max_lease_losses) {
    if (again == Again::kAtOnce) return MoveTo(job, kQueued, why, now, effects);
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
  if (job.state == kPausing) return MoveTo(job, kPaused, why, now, effects);
  if (job.state == kCancelling) return MoveTo(job, kCancelled, why, now, effects);
  return LoseRunning(job, why, again, policy, now, effects);
}

void AppendLog(Job& job, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) absl::StrAppend(&job.log_tail, line, "\n");
  if (job.log_tail.size() > kLogTailBytes) {
    job.log_tail.erase(0, job.log_tail.size() - kLogTailBytes);
  }
}

// What a beat carries, once each.
void Apply(Job& job, const Heartbeat& beat, Effects& effects) {
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

ModelKind KindOf(ExportFormat format) {
  switch (format) {
    case ExportFormat::kPeft:
      return ModelKind::kAdapter;
    case ExportFormat::kSafetensors:
      return ModelKind::kMerged;
    case ExportFormat::kGgufAdapter:
      return ModelKind::kGgufAdapter;
    case ExportFormat::kGgufF16:
    case ExportFormat::kGgufQ8_0:
    case ExportFormat::kGgufBf16:
    case ExportFormat::kGgufQ4_0:
    case ExportFormat::kGgufQ4_K_M:
    case ExportFormat::kGgufQ5_K_M:
    case ExportFormat::kGgufQ6_K:
      return ModelKind::kGguf;
  }
  return ModelKind::kGguf;
}

// The adapter or export a successful job made, as a version in the Model registry.
std::optional<ModelVersion> ModelOf(const Job& job, absl::Time now) {
  const bool exported = job.kind == JobKind::kExport;
  const std::string& digest = exported ? job.outputs.artifact_digest : job.outputs.adapter_digest;
  if (digest.empty()) return std::nullopt;
  ModelVersion version;
  version.project = job.project;
  const std::string& suffix = job.spec.training.suffix;
  version.model = job.base_model;
  if (!exported) absl::StrAppend(&version.model, "-", suffix.empty() ? "ft" : suffix);
  version.model.resize(std::min<size_t>(version.model.size(), 63));
  while (version.model.back() == '-') version.model.pop_back();
  version.task = job.task;
  version.digest = digest;
  version.kind = exported ? KindOf(job.resolved.export_format) : ModelKind::kAdapter;
  version.architecture = job.inputs.architecture;
  version.base_digest = job.inputs.base_digest;
  version.tokenizer_digest = job.resolved.tokenizer_digest;
  version.template_digest = job.resolved.template_digest;
  version.bytes = job.outputs.bytes;
  version.licence = job.inputs.licence;
  version.source_job = job.id;
  version.dataset_version = job.dataset_version;
  version.create_time = now;
  return version;
}

absl::Status CompleteWithError(Job& job, JobError error, const RetryPolicy& policy, absl::Time now,
                               Effects& effects) {
  if (job.state == kCancelling) {
    return MoveTo(job, kCancelled, "cancelled; the attempt had failed", now, effects);
  }
  job.failure_count += 1;
  job.checkpoint_step_at_loss = job.last_checkpoint_step;
  JobEvent event = Event(EventLevel::kError, EventType::kAttemptFailed, error.message, job);
  event.data = Data({{"class", Name(error.error_class)}, {"reason", error.reason}});
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

absl::Status Accept(Job& job, const Validated& validated, Dependencies dependencies, absl::Time now,
                    Effects& effects) {
  if (job.state != kValidating) return absl::OkStatus();
  job.resolved = validated.resolved;
  job.inputs = validated.inputs;
  job.base_model = validated.base_model;
  job.estimate = validated.estimate;
  job.needed_memory_bytes = job.requirements.memory_bytes > 0
                                ? job.requirements.memory_bytes
                                : std::max<int64_t>(0, validated.estimate.peak_memory_bytes);
  job.progress.steps = validated.resolved.steps;
  JobEvent event = Event(EventLevel::kInfo, EventType::kResolved, "spec resolved", job);
  nlohmann::json data = nlohmann::json::object();
  for (const auto& [field, source] : validated.resolved.sources) {
    data[field] = source.given ? "given" : absl::StrCat("auto: ", source.rule);
  }
  event.data = data.dump();
  effects.events.push_back(std::move(event));
  return MoveToLine(job, dependencies, "validated", now, effects);
}

absl::Status Reject(Job& job, const std::string& message, absl::Time now, Effects& effects) {
  if (job.state != kValidating) return absl::OkStatus();
  return Fail(job, {ErrorClass::kUser, "FIELD_INVALID", message, "", ""}, now, effects);
}

absl::Status EndOverdue(Job& job, absl::Time now, Effects& effects) {
  if (!DeadlinePassed(job, now) || IsTerminal(job.state) || !MayMove(job.state, kFailed)) {
    effects.notable = false;
    return absl::OkStatus();
  }
  return Fail(job,
              {ErrorClass::kUser, "JOB_DEADLINE_PASSED",
               "it had not ended by its deadline; set a later one, then retry: it "
               "goes on from its last checkpoint",
               "", "deadline"},
              now, effects);
}

absl::Status Unblock(Job& job, Dependencies dependencies, absl::Time now, Effects& effects) {
  if (job.state != kBlocked) return absl::OkStatus();
  if (dependencies == Dependencies::kFailed) {
    return Fail(
        job,
        {ErrorClass::kUser, "DEPENDENCY_FAILED",
         "a job it depends on failed or was cancelled; retry that job, then this one", "", ""},
        now, effects);
  }
  if (dependencies == Dependencies::kWaiting || !StartTimeReached(job, now))
    return absl::OkStatus();
  return MoveTo(job, kQueued, "ready", now, effects);
}

absl::Status Cancel(Job& job, absl::Time now, Effects& effects) {
  if (job.state == kCancelled || job.state == kCancelling) return absl::OkStatus();
  if (job.state == kRunning || job.state == kPausing) {
    return MoveTo(job, kCancelling, "cancel was asked for", now, effects);
  }
  if (!MayMove(job.state, kCancelled)) {
    return WrongState(job, "Cancel", "BLOCKED, QUEUED, RUNNING, PAUSING or PAUSED");
  }
  return MoveTo(job, kCancelled, "cancelled before it ran", now, effects);
}

absl::Status Pause(Job& job, absl::Time now, Effects& effects) {
  if (job.state == kPaused || job.state == kPausing) return absl::OkStatus();
  if (job.state == kRunning) return MoveTo(job, kPausing, "pause was asked for", now, effects);
  if (!MayMove(job.state, kPaused)) return WrongState(job, "Pause", "BLOCKED, QUEUED or RUNNING");
  return MoveTo(job, kPaused, "paused before it ran", now, effects);
}

absl::Status Resume(Job& job, Dependencies dependencies, absl::Time now, Effects& effects) {
  if (job.state == kBlocked || job.state == kQueued || job.state == kRunning) {
    return absl::OkStatus();
  }
  if (job.state != kPaused) return WrongState(job, "Resume", "PAUSED");
  return MoveToLine(job, dependencies, "resumed", now, effects);
}

absl::Status Retry(Job& job, Dependencies dependencies, absl::Time now, Effects& effects) {
  if (job.state == kBlocked || job.state == kQueued || job.state == kRunning) {
    return absl::OkStatus();
  }
  if (job.state != kFailed && job.state != kCancelled) {
    return WrongState(job, "Retry", "FAILED or CANCELLED");
  }
  if (job.inputs.base_digest.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "FIELD_INVALID",
                 "the job failed validation; create a new one with the fields corrected");
  }
  if (dependencies == Dependencies::kFailed) {
    return Error(absl::StatusCode::kFailedPrecondition, "DEPENDENCY_FAILED",
                 "a job it depends on failed or was cancelled; retry that job, then this one");
  }
  if (DeadlinePassed(job, now)) {
    return Error(absl::StatusCode::kFailedPrecondition, "JOB_DEADLINE_PASSED",
                 "the job's deadline has passed; set a later one, then retry");
  }
  job.failure_count = 0;
  job.lease_loss_count = 0;
  job.error.reset();
  job.start_time.reset();
  return MoveToLine(job, dependencies, "retried", now, effects);
}

absl::Status Grant(Job& job, const LeaseRecord& lease, absl::Time now, Effects& effects) {
  if (job.state != kQueued) return WrongState(job, "LeaseJob", "QUEUED");
  job.lease_epoch += 1;
  RETURN_IF_ERROR(MoveTo(job, kRunning, absl::StrCat("leased to ", lease.worker), now, effects));
  effects.events.back().type = EventType::kLeased;
  job.lease = lease;
  job.worker = lease.worker;
  if (!job.run_time.has_value()) job.run_time = now;
  return absl::OkStatus();
}

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
  if (rank == 0) Apply(job, beat, effects);
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
  JobEvent event = Event(EventLevel::kInfo, EventType::kCheckpointRecorded,
                         absl::StrCat("checkpoint at step ", checkpoint.step), job);
  event.data = nlohmann::json{{"step", checkpoint.step}, {"digest", checkpoint.digest}}.dump();
  effects.events.push_back(std::move(event));
  effects.checkpoints.push_back(std::move(recorded));
  return absl::OkStatus();
}

absl::Status Complete(Job& job, const LeaseToken& token, const Outcome& outcome,
                      const RetryPolicy& policy, absl::Time now, Effects& effects) {
  RETURN_IF_ERROR(CheckFence(job, token));
  if (outcome.last_report.has_value()) Apply(job, *outcome.last_report, effects);
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
          absl::StrCat("ft:", job.base_model, ":", job.project, ":", job.spec.training.suffix, ":",
                       job.id.substr(job.id.size() - 8));
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
  return MoveTo(job, kQueued, why, now, effects);
}

absl::Status AskToRelease(Job& job, const JobId& urgent, absl::Time, Effects& effects) {
  if (job.state != kRunning || job.lease->asked_to_release) {
    effects.notable = false;
    return absl::OkStatus();
  }
  job.lease->asked_to_release = true;
  effects.events.push_back(Event(
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

absl::Time RankTime(const Job& job) {
  return job.ready_time.value_or(job.create_time) - job.priority * kAgeingStep;
}

}  // namespace crossover::scheduler
