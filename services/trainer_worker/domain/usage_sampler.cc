#include "services/trainer_worker/domain/usage_sampler.h"

#include <algorithm>
#include <utility>

namespace crossover::worker {
namespace {

// The kernel counts processor time in ticks of up to 10 ms: shorter windows say little.
constexpr absl::Duration kWindow = absl::Seconds(1);

}  // namespace

UsageSampler::UsageSampler(Clock& clock, StatusBoard& board, WorkerMetrics& metrics,
                           TrainDevice device, ReadProcessUsage read)
    : clock_(clock),
      board_(board),
      metrics_(metrics),
      device_(std::move(device)),
      read_(std::move(read)),
      since_(clock.SteadyNow()),
      processor_time_(read_().processor_time) {}

double UsageSampler::BusyRatio(absl::Duration processor_time) {
  const absl::Duration now = clock_.SteadyNow();
  const absl::Duration window = now - since_;
  if (window < kWindow) return busy_ratio_;
  const double ratio =
      absl::FDivDuration(processor_time - processor_time_, window * std::max(1, device_.units));
  busy_ratio_ = std::max(0.0, ratio);
  since_ = now;
  processor_time_ = processor_time;
  return busy_ratio_;
}

DeviceUsage UsageSampler::Sample() {
  // Read under the lock: a reading that is older than the one before would make a ratio below zero.
  absl::MutexLock lock(&mutex_);
  const ProcessUsage process = read_();
  DeviceUsage usage{.kind = device_.kind,
                    .memory_bytes = process.memory_bytes,
                    .memory_limit_bytes = device_.memory_limit_bytes,
                    .busy_ratio = BusyRatio(process.processor_time),
                    .tokens_per_second = board_.Get().tokens_per_second};
  metrics_.Using(usage.memory_bytes, usage.memory_limit_bytes, usage.busy_ratio);
  return usage;
}

}  // namespace crossover::worker
