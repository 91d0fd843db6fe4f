// What the scheduler does without being asked: reap, unblock, validate late, count.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/leasing.h"
#include "services/training_scheduler/domain/pipeline_store.h"
#include "services/training_scheduler/domain/scheduler.h"
#include "services/training_scheduler/domain/scheduler_metrics.h"
#include "services/training_scheduler/domain/webhook_store.h"

namespace crossover::scheduler {

// A job that has waited so long takes the place of one that is so much less urgent: a checkpoint
// and a start cost more than a short wait, and equals never take each other's places.
inline constexpr absl::Duration kPreemptionWait = absl::Seconds(10);
inline constexpr int32_t kPreemptionGap = 20;  // points of priority

// How long what has ended is kept.
struct Retention {
  // With their events, metrics, checkpoints; webhook deliveries and pipelines as well.
  absl::Duration jobs = absl::InfiniteDuration();
  absl::Duration forgotten = absl::Hours(30 * 24);  // request ids, workers that are gone
};

// What else is kept for as long as jobs are. Null: there is none.
struct History {
  WebhookStore* webhooks = nullptr;
  PipelineStore* pipelines = nullptr;
};

// Used by one thread. Borrows everything.
class Housekeeper {
 public:
  Housekeeper(JobStore& jobs, Scheduler& scheduler, Leasing& leasing, SchedulerMetrics& metrics,
              Clock& clock, Retention retention = {}, History history = {})
      : jobs_(jobs),
        scheduler_(scheduler),
        leasing_(leasing),
        metrics_(metrics),
        clock_(clock),
        retention_(retention),
        history_(history) {}

  // Tends every job that is due, if no other scheduler does so now. One job's error does not keep
  // the others waiting; the first is returned.
  absl::Status Pass();

 private:
  absl::Status TendAll();
  // Asks one job to give its place to a more urgent one, if there is such a pair.
  absl::Status Preempt();

  // Jobs by state, for the metrics.
  absl::Status Count();
  // Removes what has been kept for long enough, a batch a pass.
  absl::Status Retire();

  JobStore& jobs_;
  Scheduler& scheduler_;
  Leasing& leasing_;
  SchedulerMetrics& metrics_;
  Clock& clock_;
  absl::Duration next_count_;  // by the steady clock
  const Retention retention_;
  const History history_;
  int64_t passes_ = 0;
};

}  // namespace crossover::scheduler
