#include "services/trainer_worker/domain/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace crossover::worker {

ProcessUsage ThisProcessUsage() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  ProcessUsage out;
  out.processor_time =
      absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
  int64_t pages = 0, resident = 0;
  if (std::ifstream("/proc/self/statm") >> pages >> resident) {
    out.memory_bytes = resident * sysconf(_SC_PAGESIZE);
  }
  return out;
}

int64_t MemoryLimit(const std::filesystem::path& limit_file) {
  const int64_t machine = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  int64_t limit = 0;
  // The file says "max" where there is no limit.
  return std::ifstream(limit_file) >> limit && limit > 0 ? std::min(machine, limit) : machine;
}

}  // namespace crossover::worker
