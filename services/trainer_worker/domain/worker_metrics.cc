#include "services/trainer_worker/domain/worker_metrics.h"

namespace crossover::worker {
namespace {

constexpr char kMemory[] = "crossover_worker_memory_bytes";
constexpr char kMemoryHelp[] = "Memory of the process.";

}  // namespace

WorkerMetrics::WorkerMetrics(metrics::Registry& registry)
    : tokens_(registry.NewCounter("crossover_worker_tokens_total", "Tokens trained on.")),
      tokens_per_second_(registry.NewGauge("crossover_worker_tokens_per_second",
                                           "Speed of the last step; 0 when idle.")),
      train_loss_(registry.NewGauge("crossover_worker_train_loss", "Loss of the last step, nats.",
                                    {{"slot", "0"}})),
      step_seconds_(
          registry.NewHistogram("crossover_worker_step_seconds", "Time of one optimiser step.")),
      memory_(registry.NewGauge(kMemory, kMemoryHelp, {{"kind", "peak_rss"}})),
      memory_now_(registry.NewGauge(kMemory, kMemoryHelp, {{"kind", "rss"}})),
      memory_limit_(registry.NewGauge(kMemory, kMemoryHelp, {{"kind", "limit"}})),
      busy_ratio_(registry.NewGauge("crossover_worker_busy_ratio",
                                    "Share of the device's cores that the worker kept busy.",
                                    {{"device", "cpu"}})),
      flops_ratio_(registry.NewGauge("crossover_worker_flops_ratio",
                                     "Arithmetic of the last step by what the processor's matrix "
                                     "product does in the same time.")),
      checkpoint_seconds_(registry.NewHistogram("crossover_worker_checkpoint_seconds",
                                                "Time to write and record a checkpoint.")),
      jobs_(registry.NewCounterFamily("crossover_worker_jobs_total",
                                      "Leases by how this worker's part ended.")) {
  for (const char* outcome : {"completed", "failed", "released", "lost", "followed"}) {
    jobs_.With({{"outcome", outcome}});
  }
}

void WorkerMetrics::Stepped(const Step& step, int64_t peak_memory) {
  tokens_.Increment(static_cast<double>(step.tokens));
  tokens_per_second_.Set(step.tokens_per_second);
  train_loss_.Set(step.loss);
  step_seconds_.Observe(step.seconds);
  memory_.Set(static_cast<double>(peak_memory));
  flops_ratio_.Set(step.flops_ratio);
}

void WorkerMetrics::Using(int64_t memory_bytes, int64_t memory_limit_bytes, double busy_ratio) {
  memory_now_.Set(static_cast<double>(memory_bytes));
  memory_limit_.Set(static_cast<double>(memory_limit_bytes));
  busy_ratio_.Set(busy_ratio);
}

void WorkerMetrics::Checkpointed(absl::Duration took) {
  checkpoint_seconds_.Observe(absl::ToDoubleSeconds(took));
}

void WorkerMetrics::Ended(const char* outcome) {
  jobs_.With({{"outcome", outcome}}).Increment();
  Idle();
}

void WorkerMetrics::Idle() {
  tokens_per_second_.Set(0);
  flops_ratio_.Set(0);
}

}  // namespace crossover::worker
