#include "services/training_scheduler/domain/housekeeper.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

constexpr int64_t kDueBatch = 200;
// Of a second's pass: a long history goes in good time, and no transaction is long.
constexpr int64_t kRetireBatch = 200;
// Counting reads every job that has not ended. Of a long queue it is done less often: the pause
// after it is so many times what it took.
constexpr int kCountPause = 50;
constexpr int64_t kForgetEvery = 600;  // passes; it reads whole tables

}  // namespace

absl::Status Housekeeper::TendAll() {
  ASSIGN_OR_RETURN(std::vector<JobId> due, jobs_.Due(kDueBatch));
  absl::Status first;
  bool catalogue_silent = false;
  for (const JobId& id : due) {
    absl::StatusOr<Job> before = jobs_.Get(id);
    const bool validating = before.ok() && before->state == JobState::kValidating;
    // Each would wait for the same time-out, and leases that run out meanwhile for all of them.
    if (validating && catalogue_silent) continue;
    absl::Status status =
        before.ok() ? scheduler_.Tend(id, leasing_.options().retry) : before.status();
    if (!status.ok()) {
      first.Update(WithContext(status, absl::StrCat("job ", id)));
      continue;
    }
    absl::StatusOr<Job> after = jobs_.Get(id);
    if (!after.ok()) continue;
    catalogue_silent |= validating && after->state == JobState::kValidating;
    if (!IsLeased(before->state)) continue;
    const bool overdue = after->error.has_value() && after->error->reason == "JOB_DEADLINE_PASSED";
    if (!IsLeased(after->state) && !overdue) metrics_.LeaseLost("expired");
    if (IsTerminal(after->state)) metrics_.Ended(*after);
  }
  return first;
}

absl::Status Housekeeper::Preempt() {
  ASSIGN_OR_RETURN(std::optional<Preemption> found,
                   jobs_.FindPreemption(kPreemptionWait, kPreemptionGap));
  if (!found.has_value()) return absl::OkStatus();
  return jobs_
      .Update(found->running,
              [&](Job& job, absl::Time now, Effects& effects) {
                return AskToRelease(job, found->urgent, now, effects);
              })
      .status();
}

absl::Status Housekeeper::Retire() {
  if (passes_++ % kForgetEvery == 0) RETURN_IF_ERROR(jobs_.Forget(retention_.forgotten));
  if (retention_.jobs == absl::InfiniteDuration()) return absl::OkStatus();
  absl::Status status = jobs_.RemoveEnded(retention_.jobs, kRetireBatch).status();
  if (history_.webhooks != nullptr) {
    status.Update(history_.webhooks->RemoveEnded(retention_.jobs, kRetireBatch).status());
  }
  if (history_.pipelines != nullptr) {
    status.Update(history_.pipelines->RemoveEnded(retention_.jobs, kRetireBatch).status());
  }
  return status;
}

absl::Status Housekeeper::Count() {
  const absl::Duration begin = clock_.SteadyNow();
  if (begin < next_count_) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<QueueDepth> depths, jobs_.Depths());
  metrics_.SetDepths(depths);
  const absl::Duration end = clock_.SteadyNow();
  next_count_ = end + kCountPause * (end - begin);
  return absl::OkStatus();
}

absl::Status Housekeeper::Pass() {
  absl::Status status = jobs_.AsLeader([this] {
    absl::Status tended = TendAll();
    tended.Update(Preempt());
    tended.Update(Retire());
    return tended;
  });
  status.Update(Count());
  return status;
}

}  // namespace crossover::scheduler
