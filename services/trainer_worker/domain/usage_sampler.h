// What the worker tells of its use of the machine: to the scheduler with its calls, and to
// Prometheus at the same moments.
#pragma once

#include <cstdint>
#include <string>

#include "absl/synchronization/mutex.h"
#include "common/time/clock.h"
#include "services/trainer_worker/domain/job_context.h"
#include "services/trainer_worker/domain/process_usage.h"
#include "services/trainer_worker/domain/worker_metrics.h"

namespace crossover::worker {

// The device that the worker trains on.
struct TrainDevice {
  std::string kind = "cpu";
  int units = 1;                   // cores that it computes on
  int64_t memory_limit_bytes = 0;  // MemoryLimit()
};

struct DeviceUsage {
  std::string kind;
  int64_t memory_bytes = 0;
  int64_t memory_limit_bytes = 0;
  double busy_ratio = 0;  // of its units, since a second or more ago
  double tokens_per_second = 0;
};

// Thread-safe. Borrows clock, board and metrics.
class UsageSampler {
 public:
  UsageSampler(Clock& clock, StatusBoard& board, WorkerMetrics& metrics, TrainDevice device,
               ReadProcessUsage read = &ThisProcessUsage);

  DeviceUsage Sample();
  std::string loaded_base() const { return board_.Get().loaded_base; }  // digest; "" = none
  const TrainDevice& device() const { return device_; }

 private:
  // Share of the units since the last call that is a second or more ago.
  double BusyRatio(absl::Duration processor_time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  StatusBoard& board_;
  WorkerMetrics& metrics_;
  const TrainDevice device_;
  const ReadProcessUsage read_;
  absl::Mutex mutex_;
  absl::Duration since_ ABSL_GUARDED_BY(mutex_);           // steady
  absl::Duration processor_time_ ABSL_GUARDED_BY(mutex_);  // then
  double busy_ratio_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace crossover::worker
