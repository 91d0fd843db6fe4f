// FakeJobStore: who gets which job, in which order.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/compute_types.h"
#include "services/training_scheduler/domain/empty_or_has.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/gang.h"
#include "services/training_scheduler/domain/job_machine.h"
#include "services/training_scheduler/domain/prefer_bases.h"

namespace crossover::scheduler {
namespace {

// Whether the claimants may have the job, were they enough.
bool Fits(const Job& job, const ClaimRequest& request) {
  const Capabilities& has = request.capabilities;
  const std::string& device = job.requirements.device;
  return (request.project.empty() || request.project == job.project) &&
         EmptyOrHas(has.kinds, job.kind) && EmptyOrHas(has.queues, job.queue) &&
         (device.empty() || has.device.empty() || device == has.device) &&
         (has.memory_bytes == 0 || job.needed_memory_bytes <= has.memory_bytes);
}

bool ClaimedBefore(const Job& a, const Job& b) {
  return std::pair(RankTime(a), a.id) < std::pair(RankTime(b), b.id);
}

}  // namespace

absl::StatusOr<std::vector<Job>> FakeJobStore::ClaimGang(const ClaimRequest& request) {
  absl::MutexLock lock(&mutex_);
  std::map<std::string, int32_t> held = Held(nullptr);
  Record* first = nullptr;
  const std::vector<int64_t> limits = GangLimits(request.claimants, false);
  const std::vector<int64_t> limits_of_float32 = GangLimits(request.claimants, true);
  ClaimRequest any_memory = request;
  any_memory.capabilities.memory_bytes = 0;
  for (auto& [id, record] : records_) {
    const int32_t size = record.job.requirements.gang_size;
    const auto quota = quotas_.find(record.job.project);
    const bool fits =
        record.job.state == JobState::kQueued && size > 1 && size <= std::ssize(limits) &&
        record.job.needed_memory_bytes <= (AsksFloat32(record.job) ? limits_of_float32 : limits)
                                              .at(static_cast<size_t>(size - 1)) &&
        Fits(record.job, any_memory) &&
        (quota == quotas_.end() || held[record.job.project] + size <= quota->second);
    if (fits && (first == nullptr || ClaimedBefore(record.job, first->job))) first = &record;
  }
  if (first == nullptr) return std::vector<Job>();
  ASSIGN_OR_RETURN(Job job, Apply(*first, [&](Job& mine, absl::Time now, Effects& effects) {
                     return Grant(mine, GangLease(request, mine, now), now, effects);
                   }));
  first->metrics.erase(first->metrics.upper_bound(job.last_checkpoint_step), first->metrics.end());
  return std::vector<Job>{std::move(job)};
}

absl::Status FakeJobStore::SetQuota(const std::string& project, std::optional<int32_t> leases) {
  absl::MutexLock lock(&mutex_);
  quotas_.erase(project);
  if (leases.has_value()) quotas_[project] = *leases;
  return absl::OkStatus();
}

std::vector<const Job*> FakeJobStore::Fitting(const ClaimRequest& request) {
  std::vector<const Job*> fitting;
  for (const auto& [id, record] : records_) {
    if (record.job.state == JobState::kQueued && record.job.requirements.gang_size == 1 &&
        Fits(record.job, request)) {
      fitting.push_back(&record.job);
    }
  }
  std::sort(fitting.begin(), fitting.end(),
            [](const Job* a, const Job* b) { return ClaimedBefore(*a, *b); });
  return fitting;
}

std::map<std::string, int32_t> FakeJobStore::Held(const Job* released) {
  std::map<std::string, int32_t> held;
  for (const auto& [id, record] : records_) {
    if (record.job.lease.has_value() && &record.job != released) {
      held[record.job.project] += record.job.requirements.gang_size;
    }
  }
  return held;
}

std::vector<const Job*> FakeJobStore::InLine(const std::vector<const Job*>& fitting,
                                             std::map<std::string, int32_t> turns) {
  std::vector<std::pair<int32_t, const Job*>> line;
  for (const Job* job : fitting) {
    const int32_t turn = ++turns[job->project];
    const auto quota = quotas_.find(job->project);
    if (quota == quotas_.end() || turn <= quota->second) line.emplace_back(turn, job);
  }
  std::stable_sort(line.begin(), line.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const Job*> ready;
  for (const auto& [turn, job] : line) ready.push_back(job);
  return ready;
}

absl::StatusOr<std::vector<Job>> FakeJobStore::Claim(const ClaimRequest& request) {
  absl::MutexLock lock(&mutex_);
  const std::vector<const Job*> fitting = Fitting(request);
  std::vector<const Job*> taken = InLine(fitting, Held(nullptr));
  taken.resize(std::min(taken.size(), request.claimants.size()));
  std::vector<Job> claimed;
  for (const auto& [chosen, place] : PreferBases(std::move(taken), fitting, request.claimants)) {
    const Claimant& claimant = request.claimants[place];
    Record& record = records_.at(chosen->id);
    ASSIGN_OR_RETURN(Job job, Apply(record, [&](Job& mine, absl::Time now, Effects& effects) {
                       return Grant(mine,
                                    {claimant.token_hash, claimant.worker, claimant.incarnation,
                                     now, now + request.ttl, 0},
                                    now, effects);
                     }));
    record.metrics.erase(record.metrics.upper_bound(job.last_checkpoint_step),
                         record.metrics.end());
    claimed.push_back(std::move(job));
  }
  return claimed;
}

const Job* FakeJobStore::NextInPlaceOf(const Job& running) {
  const auto worker = workers_.find(running.lease->worker);
  if (worker == workers_.end()) return nullptr;
  std::map<std::string, int32_t> held = Held(&running);
  const std::vector<const Job*> line = InLine(Fitting({.capabilities = worker->second.capabilities,
                                                       .ttl = {},
                                                       .claimants = {},
                                                       .project = worker->second.only_project}),
                                              held);
  if (line.empty()) return nullptr;
  // The holder itself is then in line too, ready since now: behind whoever has the same turn.
  const bool alone = running.requirements.gang_size == 1;
  return alone && held[running.project] < held[line[0]->project] ? nullptr : line[0];
}

absl::StatusOr<std::optional<Preemption>> FakeJobStore::FindPreemption(absl::Duration waited,
                                                                       int32_t gap) {
  absl::MutexLock lock(&mutex_);
  std::vector<const Job*> running;
  for (const auto& [id, record] : records_) {
    const Job& job = record.job;
    if (job.lease.has_value() && job.lease->asked_to_release) return std::optional<Preemption>();
    if (job.state == JobState::kRunning) running.push_back(&job);
  }
  std::sort(running.begin(), running.end(), [](const Job* a, const Job* b) {
    return std::pair(a->priority, b->lease->grant_time) <
           std::pair(b->priority, a->lease->grant_time);
  });
  const Job* first = nullptr;
  const Job* place = nullptr;
  for (const Job* held : running) {
    const Job* next = NextInPlaceOf(*held);
    if (next != nullptr && next->priority > 0 && held->priority + gap <= next->priority &&
        *next->ready_time + waited <= clock_.Now() &&
        (first == nullptr || ClaimedBefore(*next, *first))) {
      first = next;
      place = held;
    }
  }
  if (first == nullptr) return std::optional<Preemption>();
  return std::optional(Preemption{first->id, place->id});
}

absl::StatusOr<int64_t> FakeJobStore::QueuePosition(const Job& job) {
  if (job.state != JobState::kQueued) return 0;
  absl::MutexLock lock(&mutex_);
  int64_t position = 1;
  for (const auto& [id, record] : records_) {
    if (record.job.state == JobState::kQueued && record.job.queue == job.queue &&
        ClaimedBefore(record.job, job)) {
      ++position;
    }
  }
  return std::min(position, 1 + kMostCounted);
}

}  // namespace crossover::scheduler
