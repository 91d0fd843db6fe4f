// What a worker counts (api.md §10). Thread-safe. Slot: the place of the job in this process, "0"
// for now.
#pragma once

#include "common/metrics/registry.h"
#include "services/trainer_worker/domain/train_engine.h"

namespace crossover::worker {

class WorkerMetrics {
 public:
  explicit WorkerMetrics(metrics::Registry& registry);

  void Stepped(const Step& step, int64_t peak_memory);
  // Of the device that it trains on; `busy_ratio`: share of its cores.
  void Using(int64_t memory_bytes, int64_t memory_limit_bytes, double busy_ratio);
  void Checkpointed(absl::Duration took);
  void Ended(const char* outcome);  // completed, failed, released, lost, followed
  void Idle();

 private:
  metrics::Counter tokens_;
  metrics::Gauge tokens_per_second_;
  metrics::Gauge train_loss_;
  metrics::Histogram step_seconds_;
  metrics::Gauge memory_;  // at its peak
  metrics::Gauge memory_now_;
  metrics::Gauge memory_limit_;
  metrics::Gauge busy_ratio_;
  metrics::Gauge flops_ratio_;
  metrics::Histogram checkpoint_seconds_;
  metrics::CounterFamily jobs_;
};

}  // namespace crossover::worker
