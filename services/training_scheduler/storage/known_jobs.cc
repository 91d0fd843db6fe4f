#include "services/training_scheduler/storage/known_jobs.h"

#include <utility>

#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {

std::shared_ptr<const KnownJob> KnownJobs::Find(const JobId& id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = places_.find(id);
  return found == places_.end() ? nullptr : *found->second;
}

std::vector<KnownJob> KnownJobs::Take(std::span<const JobId> ids) {
  Entries taken;
  {
    absl::MutexLock lock(&mutex_);
    for (const JobId& id : ids) {
      const auto found = places_.find(id);
      if (found == places_.end() || (*found->second)->version.empty()) return {};
    }
    for (const JobId& id : ids) {
      const auto found = places_.find(id);
      taken.splice(taken.end(), entries_, found->second);
      places_.erase(found);
    }
  }
  std::vector<KnownJob> jobs;
  jobs.reserve(taken.size());
  for (const auto& entry : taken) {
    // Somebody may still read what Find gave them.
    jobs.push_back(entry.use_count() == 1 ? std::move(*entry) : *entry);
  }
  return jobs;
}

void KnownJobs::Keep(Job job, RowVersion version) {
  if (job.state == JobState::kValidating || IsTerminal(job.state)) return;
  Entries entry;
  entry.push_back(std::make_shared<KnownJob>(KnownJob{std::move(job), std::move(version)}));
  Entries dropped;  // destroyed outside the lock
  absl::MutexLock lock(&mutex_);
  const auto [place, added] = places_.try_emplace(entry.front()->job.id, entry.begin());
  if (!added) dropped.splice(dropped.end(), entries_, std::exchange(place->second, entry.begin()));
  entries_.splice(entries_.end(), entry);
  if (entries_.size() <= capacity_) return;
  places_.erase(entries_.front()->job.id);
  dropped.splice(dropped.end(), entries_, entries_.begin());
}

void DatabaseTime::Heard(absl::Time database, absl::Duration steady) {
  absl::MutexLock lock(&mutex_);
  const absl::Time base = database - steady;
  // Of several the one that came the fastest way; the way only makes it earlier.
  if (steady - heard_ < kGoodFor && base < base_) return;
  base_ = base;
  heard_ = steady;
}

std::optional<absl::Time> DatabaseTime::Now(absl::Duration steady) const {
  absl::MutexLock lock(&mutex_);
  if (steady - heard_ > kGoodFor) return std::nullopt;
  return base_ + steady;
}

}  // namespace crossover::scheduler
