// What this process uses of its machine, as the kernel counts it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "absl/time/time.h"

namespace crossover::worker {

struct ProcessUsage {
  absl::Duration processor_time;  // of all its threads since its start, in user and kernel mode
  int64_t memory_bytes = 0;       // resident now; 0 = not known
};
using ReadProcessUsage = std::function<ProcessUsage()>;

ProcessUsage ThisProcessUsage();

// Most memory that this process can have: the machine's, or the limit of the control group whose
// file this is (cgroup-v2.rst), whichever is less.
int64_t MemoryLimit(const std::filesystem::path& limit_file = "/sys/fs/cgroup/memory.max");

}  // namespace crossover::worker
