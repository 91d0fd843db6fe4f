#include "services/training_scheduler/domain/able_workers.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/training_scheduler/domain/compute_types.h"

namespace crossover::scheduler {
namespace {

// A worker that names none takes all.
template <typename Value>
bool AllOrAmong(const std::vector<Value>& values, const Value& value) {
  return values.empty() || std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

std::optional<ComputeType> TypeOf(const WorkerRecord& worker, const Job& job) {
  return TypeOn(worker.capabilities.compute_types, AsksFloat32(job));
}

bool IsThere(const WorkerRecord& worker, const Job& job) {
  return (!worker.silent || !worker.job.empty()) &&
         (worker.only_project.empty() || worker.only_project == job.project);
}

bool TakesKind(const WorkerRecord& worker, const Job& job) {
  return AllOrAmong(worker.capabilities.kinds, job.kind);
}

bool TakesQueue(const WorkerRecord& worker, const Job& job) {
  return AllOrAmong(worker.capabilities.queues, job.queue);
}

bool HasDevice(const WorkerRecord& worker, const Job& job) {
  const std::string& wanted = job.requirements.device;
  const std::string& device = worker.capabilities.device;
  return wanted.empty() || device.empty() || wanted == device;
}

bool MayServe(const WorkerRecord& worker, const Job& job) {
  return IsThere(worker, job) && TakesKind(worker, job) && TakesQueue(worker, job) &&
         HasDevice(worker, job);
}

int64_t MemoryOf(const WorkerRecord& worker) {
  const int64_t bytes = worker.capabilities.memory_bytes;
  return bytes > 0 ? bytes : std::numeric_limits<int64_t>::max();
}

ForecastWorkers WorkersFor(const Job& job, std::vector<WorkerRecord> workers) {
  const int32_t size = job.requirements.gang_size;
  ForecastWorkers facts{.count = size};
  std::erase_if(workers, [&](const WorkerRecord& worker) {
    return !MayServe(worker, job) || (size > 1 && worker.capabilities.gang < size);
  });
  if (workers.empty()) return facts;
  facts.float32_only = std::ranges::all_of(workers, [&](const WorkerRecord& worker) {
    return TypeOf(worker, job) == ComputeType::kFloat32;
  });
  if (size > 1) workers = OfOneType(job, workers);
  if (workers.empty()) return facts;
  std::ranges::sort(workers, std::greater<>(), &MemoryOf);
  const size_t place = std::ssize(workers) < size ? 0 : static_cast<size_t>(std::max(1, size) - 1);
  facts.memory_bytes = workers[place].capabilities.memory_bytes;
  return facts;
}

std::vector<WorkerRecord> OfOneType(const Job& job, const std::vector<WorkerRecord>& workers) {
  const auto size = static_cast<size_t>(std::max(1, job.requirements.gang_size));
  std::vector<WorkerRecord> best;
  int64_t most = -1;  // what the smallest of the best gang holds
  for (const std::optional<ComputeType>& type : TypesOfGangs(AsksFloat32(job))) {
    std::vector<WorkerRecord> alike;
    std::copy_if(workers.begin(), workers.end(), std::back_inserter(alike),
                 [&](const WorkerRecord& worker) { return TypeOf(worker, job) == type; });
    int64_t holds = -1;
    if (alike.size() >= size) {
      const auto last = alike.begin() + static_cast<std::ptrdiff_t>(size - 1);
      std::nth_element(alike.begin(), last, alike.end(),
                       [](const auto& a, const auto& b) { return MemoryOf(a) > MemoryOf(b); });
      holds = MemoryOf(*last);
    }
    if (holds < most || (holds == most && alike.size() <= best.size())) continue;
    most = holds;
    best = std::move(alike);
  }
  return best;
}

}  // namespace crossover::scheduler
