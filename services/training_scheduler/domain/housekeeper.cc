#include "services/training_scheduler/domain/housekeeper.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

constexpr int64_t kDueBatch = 200;

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

absl::Status Housekeeper::Pass() {
  absl::Status status = jobs_.AsLeader([this] { return TendAll(); });
  ASSIGN_OR_RETURN(std::vector<QueueDepth> depths, jobs_.Depths());
  metrics_.SetDepths(depths);
  return status;
}

}  // namespace crossover::scheduler
