#include "services/training_scheduler/domain/scheduler.h"

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/able_workers.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

// What a person asked for and why, as an event before the move it causes.
void AddReason(const Job& job, const char* verb, const std::string& reason, Effects& effects) {
  if (reason.empty()) return;
  JobEvent event;
  event.type = EventType::kVerb;
  event.message = absl::StrCat(verb, ": ", reason);
  event.epoch = job.lease_epoch;
  effects.events.push_back(std::move(event));
}

}  // namespace

absl::StatusOr<std::optional<Job>> Scheduler::FindCreated(const std::string& project,
                                                          const RequestKey& key) {
  if (key.id.empty()) return std::optional<Job>();
  return jobs_.FindCreated(project, key);
}

absl::StatusOr<Job> Scheduler::Create(Job draft, const RequestKey& key, bool validate_only) {
  if (!validate_only) {
    ASSIGN_OR_RETURN(std::optional<Job> known, FindCreated(draft.project, key));
    if (known.has_value()) return *std::move(known);
  }
  absl::StatusOr<Plan> plan = planner_.Check(draft);
  const bool later = absl::IsUnavailable(plan.status()) || absl::IsDeadlineExceeded(plan.status());
  if (!plan.ok() && (validate_only || !later)) return plan.status();
  if (plan.ok()) RETURN_IF_ERROR(ViolationsError(*plan));

  ASSIGN_OR_RETURN(Dependencies dependencies, DependenciesOf(draft));
  if (dependencies == Dependencies::kFailed) {
    return Error(absl::StatusCode::kFailedPrecondition, "DEPENDENCY_FAILED",
                 "depends_on names a job that failed or was cancelled");
  }
  draft.id = ids_.NextId();
  draft.state = JobState::kValidating;
  if (validate_only) {
    Effects effects;
    RETURN_IF_ERROR(Accept(draft, plan->validated, dependencies, absl::Time(), effects));
    draft.id.clear();
    return draft;
  }
  return jobs_.Insert(draft, key, [&](Job& job, absl::Time now, Effects& effects) {
    if (later) {
      job.state_reason = "waits for the data set catalogue to answer";
      return absl::OkStatus();
    }
    return Accept(job, plan->validated, dependencies, now, effects);
  });
}

absl::StatusOr<Job> Scheduler::Get(const std::string& project, const JobId& id) {
  ASSIGN_OR_RETURN(Job job, jobs_.Get(id));
  if (job.project != project) {
    return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                 absl::StrCat("no job projects/", project, "/jobs/", id));
  }
  return job;
}

absl::StatusOr<Job> Scheduler::Verb(const std::string& project, const JobId& id,
                                    const JobStore::Mutation& mutation) {
  RETURN_IF_ERROR(Get(project, id).status());
  return jobs_.Update(id, mutation);
}

absl::StatusOr<Job> Scheduler::CancelJob(const std::string& project, const JobId& id,
                                         const std::string& reason) {
  return Verb(project, id, [&](Job& job, absl::Time now, Effects& effects) {
    AddReason(job, "cancel", reason, effects);
    return Cancel(job, now, effects);
  });
}

absl::StatusOr<Job> Scheduler::PauseJob(const std::string& project, const JobId& id,
                                        const std::string& reason) {
  return Verb(project, id, [&](Job& job, absl::Time now, Effects& effects) {
    AddReason(job, "pause", reason, effects);
    return Pause(job, now, effects);
  });
}

absl::StatusOr<Job> Scheduler::ResumeJob(const std::string& project, const JobId& id) {
  ASSIGN_OR_RETURN(Job before, Get(project, id));
  ASSIGN_OR_RETURN(Dependencies dependencies, DependenciesOf(before));
  return Verb(project, id, [&](Job& job, absl::Time now, Effects& effects) {
    return Resume(job, dependencies, now, effects);
  });
}

absl::StatusOr<Job> Scheduler::RetryJob(const std::string& project, const JobId& id,
                                        const RequestKey& key) {
  ASSIGN_OR_RETURN(Job before, Get(project, id));
  ASSIGN_OR_RETURN(Dependencies dependencies, DependenciesOf(before));
  return jobs_.UpdateOnce(id, key, [&](Job& job, absl::Time now, Effects& effects) {
    return Retry(job, dependencies, now, effects);
  });
}

absl::StatusOr<Dependencies> Scheduler::DependenciesOf(const Job& job) {
  Dependencies result = Dependencies::kMet;
  for (const JobId& id : job.depends_on) {
    absl::StatusOr<Job> dependency = Get(job.project, id);
    if (absl::IsNotFound(dependency.status())) {
      return Error(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("depends_on names job ", id, ", which does not exist"),
                   {.reason = "FIELD_INVALID",
                    .metadata = {},
                    .violations = {{"depends_on", absl::StrCat("no job ", id)}}});
    }
    RETURN_IF_ERROR(dependency.status());
    if (dependency->state == JobState::kFailed || dependency->state == JobState::kCancelled) {
      return Dependencies::kFailed;
    }
    if (dependency->state != JobState::kSucceeded) result = Dependencies::kWaiting;
  }
  return result;
}

absl::Status Scheduler::TendValidation(const Job& job) {
  absl::StatusOr<Plan> plan = planner_.Check(job);
  if (absl::IsUnavailable(plan.status()) || absl::IsDeadlineExceeded(plan.status())) {
    return absl::OkStatus();  // next time
  }
  RETURN_IF_ERROR(plan.status());
  ASSIGN_OR_RETURN(Dependencies dependencies, DependenciesOf(job));
  return jobs_
      .Update(job.id,
              [&](Job& mine, absl::Time now, Effects& effects) {
                const absl::Status violations = ViolationsError(*plan);
                if (violations.ok())
                  return Accept(mine, plan->validated, dependencies, now, effects);
                return Reject(mine,
                              std::string(violations.message().data(), violations.message().size()),
                              now, effects);
              })
      .status();
}

absl::Status Scheduler::Tend(const JobId& id, const RetryPolicy& policy) {
  ASSIGN_OR_RETURN(Job job, jobs_.Get(id));
  if (job.deadline.has_value()) {
    ASSIGN_OR_RETURN(job, jobs_.Update(id, &EndOverdue));
    if (IsTerminal(job.state)) return absl::OkStatus();
  }
  if (job.state == JobState::kValidating) return TendValidation(job);
  if (job.state == JobState::kBlocked) {
    ASSIGN_OR_RETURN(Dependencies dependencies, DependenciesOf(job));
    if (dependencies == Dependencies::kWaiting) return absl::OkStatus();
    return jobs_
        .Update(id, [&](Job& mine, absl::Time now,
                        Effects& effects) { return Unblock(mine, dependencies, now, effects); })
        .status();
  }
  if (!IsLeased(job.state)) return absl::OkStatus();
  return jobs_
      .Update(id, [&](Job& mine, absl::Time now,
                      Effects& effects) { return Expire(mine, policy, now, effects); })
      .status();
}

}  // namespace crossover::scheduler
