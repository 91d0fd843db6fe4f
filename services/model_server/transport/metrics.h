// Metrics of the model server (crossover_inference_…).
#pragma once

#include <cstdint>
#include <mutex>

#include "common/metrics/registry.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

// Thread-safe. Borrows the registry.
class InferenceMetrics final : public InferenceObserver {
 public:
  explicit InferenceMetrics(metrics::Registry& registry);

  void OnRequest(const absl::Status& outcome, const AnswerSummary& summary) override;
  void OnScore(const absl::Status& outcome, const TokenUsage& usage) override;

  // Takes gauges and counts from the engines: before the metrics are read. What an engine counted
  // between the last time and its base's leaving memory is lost.
  void Refresh(const LoadedModels& models);

 private:
  // Counts what a sum over the engines grew by since it was last seen.
  class Growth {
   public:
    void Add(int64_t sum, metrics::Counter counter);

   private:
    int64_t last_ = 0;
  };

  void Count(const absl::Status& outcome, const TokenUsage& usage);

  metrics::CounterFamily requests_;
  metrics::Histogram first_token_;
  metrics::CounterFamily tokens_;
  metrics::Counter prefix_hits_;
  metrics::Gauge batch_rows_;
  metrics::Gauge queue_calls_;
  metrics::Gauge stall_;
  metrics::GaugeFamily cache_bytes_;
  metrics::GaugeFamily adapters_;
  metrics::Counter preemptions_;
  metrics::CounterFamily drafts_;

  std::mutex mutex_;  // One Refresh at a time, so that sums are seen in their order.
  Growth preemptions_seen_, accepted_seen_, rejected_seen_;
};

}  // namespace crossover::inference
