// FakeJobStore: the workers and what they hold.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/gang.h"

namespace crossover::scheduler {

absl::StatusOr<std::vector<JobId>> FakeJobStore::LeasedBy(const std::string& worker,
                                                          const std::string& incarnation) {
  absl::MutexLock lock(&mutex_);
  std::vector<JobId> ids;
  for (const auto& [id, record] : records_) {
    if (HeldBy(record.job, worker, incarnation)) ids.push_back(id);
  }
  return ids;
}

absl::Status FakeJobStore::Forget(absl::Duration age) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(workers_, [&](const auto& entry) {
    const bool busy = std::any_of(records_.begin(), records_.end(), [&](const auto& it) {
      return HeldBy(it.second.job, entry.first, "");
    });
    return !busy && entry.second.seen_time + age <= clock_.Now();
  });
  return absl::OkStatus();
}

absl::StatusOr<WorkerLife> FakeJobStore::SawWorker(const WorkerRecord& worker) {
  absl::MutexLock lock(&mutex_);
  const auto [place, added] = workers_.try_emplace(worker.name, worker);
  std::string& earlier = earlier_lives_[worker.name];
  if (earlier == worker.incarnation) return WorkerLife::kReplaced;
  const bool same = place->second.incarnation == worker.incarnation;
  if (!same && !place->second.incarnation.empty()) earlier = place->second.incarnation;
  const absl::Time created = added ? clock_.Now() : place->second.create_time;
  const std::string project = same ? place->second.only_project : worker.only_project;
  place->second = worker;
  place->second.only_project = project;
  place->second.create_time = created;
  place->second.seen_time = clock_.Now();
  if (worker.usage.has_value()) place->second.usage->time = clock_.Now();
  return same ? WorkerLife::kSame : WorkerLife::kNew;
}

absl::Status FakeJobStore::WorkerLeft(const std::string& name, const std::string& incarnation,
                                      const std::string& project) {
  absl::MutexLock lock(&mutex_);
  const auto found = workers_.find(name);
  if (found == workers_.end() || (!project.empty() && found->second.only_project != project)) {
    return absl::OkStatus();
  }
  if (found->second.incarnation == incarnation) found->second.incarnation.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WorkerRecord>> FakeJobStore::Workers(const std::string& after,
                                                                int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<WorkerRecord> workers;
  for (const auto& [name, known] : workers_) {
    if (name <= after || static_cast<int64_t>(workers.size()) >= limit) continue;
    WorkerRecord worker = known;
    worker.silent = clock_.Now() - worker.seen_time > absl::Seconds(125);
    for (const auto& [id, record] : records_) {
      if (!HeldBy(record.job, name, "")) continue;
      worker.job = id;
      worker.project = record.job.project;
      if (const auto usage = UsageOf(record.job, name)) worker.usage = usage;
    }
    if (!worker.incarnation.empty() || !worker.job.empty()) workers.push_back(std::move(worker));
  }
  return workers;
}

}  // namespace crossover::scheduler
