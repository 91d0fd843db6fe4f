// What a worker uses of its machine, as it said last.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace crossover::scheduler {

struct DeviceUsage {
  std::string kind;                // cpu or cuda
  int64_t memory_bytes = 0;        // held now
  int64_t memory_limit_bytes = 0;  // that it may hold at most; 0 = not known
  double busy_ratio = 0;           // share of the device's units; 1 = all of them
  bool operator==(const DeviceUsage&) const = default;
};

struct WorkerUsage {
  std::vector<DeviceUsage> devices;
  double tokens_per_second = 0;  // of the job that runs
  absl::Time time;               // when the store heard of it
  bool operator==(const WorkerUsage&) const = default;
};

}  // namespace crossover::scheduler
