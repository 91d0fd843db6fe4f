// The router's metrics (api.md §10), with labels bounded by configuration.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "absl/synchronization/mutex.h"
#include "common/metrics/registry.h"
#include "services/shadow_router/domain/control.h"

namespace crossover::router {

// Thread-safe.
class RouterMetrics {
 public:
  explicit RouterMetrics(metrics::Registry& registry);

  // `route` and `variant` as configured; unknown models are booked as route "unknown".
  void Request(std::string_view route, std::string_view variant, int code);
  void Overhead(absl::Duration duration) { overhead_.Observe(absl::ToDoubleSeconds(duration)); }
  void UpstreamCall(const std::string& upstream, absl::Duration duration);
  void Mirrored(std::string_view outcome, std::string_view reason);
  void MirrorQueue(size_t bytes) { mirror_queue_bytes_.Set(static_cast<double>(bytes)); }
  // Items that the store will never take, by kind.
  void Rejected(std::string_view kind, int64_t count);
  void Feedback(bool has_pair);
  void Cost(std::string_view route, std::string_view variant, double usd);
  // Gauges of an experiment. Those of an ended one are set once more and then left.
  void Experiment(const Report& report);

 private:
  metrics::CounterFamily requests_;
  metrics::Histogram overhead_;
  metrics::HistogramFamily upstream_;
  metrics::CounterFamily mirror_;
  metrics::CounterFamily rejected_;
  metrics::CounterFamily feedback_;
  metrics::Gauge mirror_queue_bytes_;
  metrics::GaugeFamily agreement_;
  metrics::GaugeFamily quality_;
  metrics::GaugeFamily state_;
  metrics::CounterFamily cost_;
};

}  // namespace crossover::router
