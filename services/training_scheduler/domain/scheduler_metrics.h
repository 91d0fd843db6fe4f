// What the scheduler counts (api.md §10). Thread-safe.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/metrics/registry.h"
#include "services/training_scheduler/domain/job.h"
#include "services/training_scheduler/domain/job_store.h"
#include "services/training_scheduler/domain/webhook.h"

namespace crossover::scheduler {

class SchedulerMetrics {
 public:
  explicit SchedulerMetrics(metrics::Registry& registry);

  void Claimed(const Job& job, absl::Duration claim_time);  // a job got a lease
  void Ended(const Job& job);                               // a job became terminal under a lease
  void LeaseLost(const char* cause);                        // expired, crashed
  void WebhookTried(DeliveryState state);  // an attempt to deliver left the delivery in this state
  void PassFailed();                       // a housekeeping pass could not do its work
  // Sets the gauges; called from one thread.
  void SetDepths(const std::vector<QueueDepth>& depths);

 private:
  metrics::GaugeFamily jobs_;
  metrics::GaugeFamily oldest_;
  metrics::Histogram wait_;
  metrics::HistogramFamily run_;
  metrics::CounterFamily lost_;
  metrics::Histogram claim_;
  metrics::Counter failed_passes_;
  metrics::CounterFamily webhooks_;
  std::set<std::pair<std::string, std::string>> seen_;  // (state, queue), to set vanished ones to 0
};

}  // namespace crossover::scheduler
