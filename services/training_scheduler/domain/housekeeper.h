// What the scheduler does without being asked: reap, unblock, validate late, count.
#pragma once

#include "absl/status/status.h"
#include "services/training_scheduler/domain/leasing.h"
#include "services/training_scheduler/domain/scheduler.h"
#include "services/training_scheduler/domain/scheduler_metrics.h"

namespace crossover::scheduler {

// Used by one thread. Borrows everything.
class Housekeeper {
 public:
  Housekeeper(JobStore& jobs, Scheduler& scheduler, Leasing& leasing, SchedulerMetrics& metrics)
      : jobs_(jobs), scheduler_(scheduler), leasing_(leasing), metrics_(metrics) {}

  // Tends every job that is due, if no other scheduler does so now. One job's error does not keep
  // the others waiting; the first is returned.
  absl::Status Pass();

 private:
  absl::Status TendAll();

  JobStore& jobs_;
  Scheduler& scheduler_;
  Leasing& leasing_;
  SchedulerMetrics& metrics_;
};

}  // namespace crossover::scheduler
