// Takes deliveries that are due and posts them.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/id/random.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/scheduler_metrics.h"
#include "services/training_scheduler/domain/webhook_sender.h"
#include "services/training_scheduler/domain/webhook_store.h"

namespace crossover::scheduler {

struct DelivererOptions {
  absl::Duration timeout = absl::Seconds(15);  // for the receiver's whole answer
  // Of a claim; past `timeout`, so that an attempt ends before somebody else may make it.
  absl::Duration lease = absl::Seconds(60);
};

// Thread-safe: several threads and processes may deliver at once. Borrows everything.
class WebhookDeliverer {
 public:
  WebhookDeliverer(WebhookStore& store, WebhookSender& sender, Clock& clock, RandomSource& random,
                   SchedulerMetrics& metrics, DelivererOptions options = {})
      : store_(store),
        sender_(sender),
        clock_(clock),
        random_(random),
        metrics_(metrics),
        options_(options) {}

  // Makes one attempt that is due. False if none is. A receiver that fails is no error of this
  // function, but an outcome of the delivery.
  absl::StatusOr<bool> DeliverOne();

 private:
  AttemptResult Try(const ClaimedDelivery& claimed);

  WebhookStore& store_;
  WebhookSender& sender_;
  Clock& clock_;
  RandomSource& random_;
  SchedulerMetrics& metrics_;
  const DelivererOptions options_;
};

}  // namespace crossover::scheduler
