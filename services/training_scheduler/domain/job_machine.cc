#include "services/training_scheduler/domain/job_machine.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/job_moves.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

using enum JobState;

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
  JobEvent event = EventOf(EventLevel::kInfo, EventType::kResolved, "spec resolved", job);
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

absl::Time LineTime(const Job& job) {
  return job.line_time.value_or(job.ready_time.value_or(job.create_time));
}

absl::Time RankTime(const Job& job) { return LineTime(job) - job.priority * kAgeingStep; }

}  // namespace crossover::scheduler
