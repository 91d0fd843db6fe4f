#include "services/training_scheduler/domain/able_workers.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace crossover::scheduler {

bool MayServe(const WorkerRecord& worker, const Job& job) {
  const Capabilities& has = worker.capabilities;
  const auto takes = [](const auto& values, const auto& value) {
    return values.empty() || std::find(values.begin(), values.end(), value) != values.end();
  };
  const std::string& device = job.requirements.device;
  return (!worker.silent || !worker.job.empty()) && takes(has.kinds, job.kind) &&
         takes(has.queues, job.queue) &&
         (device.empty() || has.device.empty() || device == has.device);
}

int64_t MemoryOf(const WorkerRecord& worker) {
  const int64_t bytes = worker.capabilities.memory_bytes;
  return bytes > 0 ? bytes : std::numeric_limits<int64_t>::max();
}

std::string GangWait(const Job& job, const std::vector<WorkerRecord>& workers) {
  const int32_t size = job.requirements.gang_size;
  int64_t able = 0, idle = 0;
  for (const WorkerRecord& worker : workers) {
    if (!MayServe(worker, job) || worker.capabilities.gang < size ||
        MemoryOf(worker) < job.needed_memory_bytes) {
      continue;
    }
    ++able;
    if (worker.job.empty()) ++idle;
  }
  return absl::StrCat("waits for ", size, " workers that are idle at once: ", idle, " of ", able,
                      " that can take it ", idle == 1 ? "is" : "are", " idle");
}

}  // namespace crossover::scheduler
