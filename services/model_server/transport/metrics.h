// Metrics of the model server (crossover_inference_…).
#pragma once

#include "common/metrics/registry.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

// Thread-safe. Borrows the registry.
class InferenceMetrics final : public InferenceObserver {
 public:
  explicit InferenceMetrics(metrics::Registry& registry);

  void OnRequest(const absl::Status& outcome, const AnswerSummary& summary) override;
  void OnScore(const absl::Status& outcome, const TokenUsage& usage) override;

  // Takes the gauges from the engines: before the metrics are read.
  void Refresh(const LoadedModels& models);

 private:
  void Count(const absl::Status& outcome, const TokenUsage& usage);

  metrics::CounterFamily requests_;
  metrics::Histogram first_token_;
  metrics::CounterFamily tokens_;
  metrics::Counter prefix_hits_;
  metrics::Gauge batch_rows_;
  metrics::Gauge stall_;
  metrics::GaugeFamily cache_bytes_;
  metrics::GaugeFamily adapters_;
};

}  // namespace crossover::inference
