#include "services/training_scheduler/domain/waiting.h"

#include <algorithm>
#include <compare>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/able_workers.h"

namespace crossover::scheduler {
namespace {

// In words.
std::string GangWait(const Job& job, const std::vector<WorkerRecord>& workers) {
  const int32_t size = job.requirements.gang_size;
  struct Count {
    bool enough = false;  // first: a type that has too few is not what the job waits for
    int64_t idle = 0, able = 0;
    auto operator<=>(const Count&) const = default;
  };
  std::map<std::optional<ComputeType>, Count> counts;
  int64_t of_all = 0;
  for (const WorkerRecord& worker : workers) {
    if (!MayServe(worker, job) || worker.capabilities.gang < size ||
        MemoryOf(worker) < job.needed_memory_bytes) {
      continue;
    }
    Count& count = counts[TypeOf(worker, job)];
    count.enough = ++count.able >= size;
    ++of_all;
    if (worker.job.empty()) ++count.idle;
  }
  Count best;  // of one type
  for (const auto& [type, count] : counts) best = std::max(best, count);
  const std::string others =
      best.able == of_all
          ? ""
          : absl::StrCat(" (", of_all - best.able,
                         " more compute in another number type, and a gang in one)");
  return absl::StrCat("waits for ", size, " workers that are idle at once: ", best.idle, " of ",
                      best.able, " that can take it ", best.idle == 1 ? "is" : "are", " idle",
                      others);
}

}  // namespace

bool WaitsForWorkers(const Job& job) {
  return job.state == JobState::kQueued && job.requirements.gang_size > 1;
}

absl::Status Explain(JobStore& store, std::span<Job> jobs) {
  if (!std::any_of(jobs.begin(), jobs.end(), WaitsForWorkers)) return absl::OkStatus();
  // Workers beyond the first thousand are like some of these.
  ASSIGN_OR_RETURN(const std::vector<WorkerRecord> workers, store.Workers("", 1000));
  for (Job& job : jobs) {
    if (WaitsForWorkers(job)) absl::StrAppend(&job.state_reason, "; ", GangWait(job, workers));
  }
  return absl::OkStatus();
}

}  // namespace crossover::scheduler
