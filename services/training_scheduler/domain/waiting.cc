#include "services/training_scheduler/domain/waiting.h"

#include <algorithm>
#include <compare>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
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

// A thing that a worker must have, in words, and whether it has it.
struct Need {
  std::string words;
  bool (*met)(const WorkerRecord& worker, const Job& job);
};

bool Holds(const WorkerRecord& worker, const Job& job) {
  return MemoryOf(worker) >= job.needed_memory_bytes;
}

// Whatever queue or kind a worker takes: it could be started anew for others, but not with more
// memory.
bool HoldsOnDevice(const WorkerRecord& worker, const Job& job) {
  return HasDevice(worker, job) && Holds(worker, job);
}

std::vector<Need> NeedsOf(const Job& job) {
  std::vector<Need> needs = {{absl::StrCat("serves queue '", job.queue, "'"), TakesQueue},
                             {absl::StrCat("takes kind ", ToAbsl(Name(job.kind))), TakesKind}};
  const std::string& device = job.requirements.device;
  if (!device.empty()) needs.push_back({absl::StrCat("has device '", device, "'"), HasDevice});
  if (job.needed_memory_bytes > 0) {
    const double gib = static_cast<double>(job.needed_memory_bytes) / (1 << 30);
    const std::string where = device.empty() ? "" : absl::StrCat(" on '", device, "'");
    needs.push_back({absl::StrFormat("has %.1f GiB%s", gib, where), HoldsOnDevice});
  }
  return needs;
}

// In words; empty if one of the workers could take the job, were it idle. A gang's memory is
// counted by GangWait.
std::string NobodyTakes(const Job& job, std::vector<WorkerRecord> workers) {
  std::erase_if(workers, [&](const WorkerRecord& worker) { return !IsThere(worker, job); });
  if (workers.empty()) return "no worker is known that may have it";
  const bool alone = job.requirements.gang_size <= 1;
  const auto could = [&](const WorkerRecord& worker) {
    return MayServe(worker, job) && (!alone || Holds(worker, job));
  };
  if (std::any_of(workers.begin(), workers.end(), could)) return "";
  std::vector<std::string> all;
  std::vector<std::string> lacking;  // that no worker meets
  bool device_is_there = true;
  for (const Need& need : NeedsOf(job)) {
    all.push_back(need.words);
    const bool met = std::any_of(workers.begin(), workers.end(),
                                 [&](const WorkerRecord& worker) { return need.met(worker, job); });
    if (need.met == HasDevice) device_is_there = met;
    if (!met && (need.met != HoldsOnDevice || device_is_there)) lacking.push_back(need.words);
  }
  return absl::StrCat("none of the ", workers.size(), " known workers ",
                      lacking.empty() ? absl::StrCat(absl::StrJoin(all, " and "), ", all at once")
                                      : absl::StrJoin(lacking, " or "));
}

std::string WaitOf(const Job& job, const std::vector<WorkerRecord>& workers) {
  const bool gang = job.requirements.gang_size > 1;
  if (gang && workers.empty()) return GangWait(job, workers);
  std::string nobody = NobodyTakes(job, workers);
  return nobody.empty() && gang ? GangWait(job, workers) : nobody;
}

}  // namespace

bool WaitsForWorkers(const Job& job) { return job.state == JobState::kQueued; }

absl::StatusOr<std::vector<WorkerRecord>> WorkersToExplainBy(JobStore& store) {
  // Workers beyond the first thousand are like some of these.
  return store.Workers("", 1000);
}

void Explain(const std::vector<WorkerRecord>& workers, std::span<Job> jobs) {
  for (Job& job : jobs) {
    if (!WaitsForWorkers(job)) continue;
    const std::string wait = WaitOf(job, workers);
    if (!wait.empty()) absl::StrAppend(&job.state_reason, "; ", wait);
  }
}

absl::Status Explain(JobStore& store, std::span<Job> jobs) {
  if (!std::any_of(jobs.begin(), jobs.end(), WaitsForWorkers)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<WorkerRecord> workers, WorkersToExplainBy(store));
  Explain(workers, jobs);
  return absl::OkStatus();
}

}  // namespace crossover::scheduler
