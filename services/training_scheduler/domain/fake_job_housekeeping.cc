// FakeJobStore: what is due, what may go, and how much there is of what.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "services/training_scheduler/domain/fake_job_store.h"

namespace crossover::scheduler {

absl::StatusOr<std::vector<JobId>> FakeJobStore::Due(int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<std::pair<int, JobId>> due;
  for (const auto& [id, record] : records_) {
    if (const std::optional<int> rank = DueRank(record.job)) due.emplace_back(*rank, id);
  }
  std::sort(due.begin(), due.end());
  if (static_cast<int64_t>(due.size()) > limit) due.resize(limit);
  std::vector<JobId> ids;
  for (auto& [rank, id] : due) ids.push_back(std::move(id));
  return ids;
}

std::optional<int> FakeJobStore::DueRank(const Job& job) {
  const absl::Time now = clock_.Now();
  if (job.lease.has_value() && job.lease->expire_time < now) return 0;
  const bool ending = job.state == JobState::kPausing || job.state == JobState::kCancelling;
  if (job.deadline.has_value() && *job.deadline <= now && !job.finish_time.has_value() && !ending) {
    return 1;
  }
  const bool started = !job.start_time.has_value() || *job.start_time <= now;
  if (job.state == JobState::kBlocked && started && !WaitsForDependency(job)) return 2;
  return job.state == JobState::kValidating ? std::optional(3) : std::nullopt;
}

bool FakeJobStore::WaitsForDependency(const Job& job) {
  bool waits = false;
  for (const JobId& id : job.depends_on) {
    const auto found = records_.find(id);
    if (found == records_.end()) continue;
    const JobState state = found->second.job.state;
    if (state == JobState::kFailed || state == JobState::kCancelled) return false;
    waits |= state != JobState::kSucceeded;
  }
  return waits;
}

absl::StatusOr<int64_t> FakeJobStore::RemoveEnded(absl::Duration age, int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<std::pair<absl::Time, JobId>> old;
  for (const auto& [id, record] : records_) {
    const Job& job = record.job;
    const bool needed = std::any_of(records_.begin(), records_.end(), [&, id = id](const auto& it) {
      const std::vector<JobId>& needs = it.second.job.depends_on;
      return it.second.job.state != JobState::kSucceeded &&
             std::find(needs.begin(), needs.end(), id) != needs.end();
    });
    if (job.finish_time.has_value() && *job.finish_time + age <= clock_.Now() && !needed) {
      old.emplace_back(*job.finish_time, id);
    }
  }
  std::sort(old.begin(), old.end());
  if (static_cast<int64_t>(old.size()) > limit) old.resize(static_cast<size_t>(limit));
  for (const auto& [finished, id] : old) records_.erase(id);
  std::erase_if(requests_,
                [&](const auto& entry) { return !records_.contains(entry.second.second); });
  return static_cast<int64_t>(old.size());
}

absl::StatusOr<std::vector<QueueDepth>> FakeJobStore::Depths() {
  absl::MutexLock lock(&mutex_);
  std::map<std::pair<JobState, std::string>, QueueDepth> depths;
  for (const auto& [id, record] : records_) {
    const Job& job = record.job;
    QueueDepth& depth = depths[{job.state, job.queue}];
    depth.state = job.state;
    depth.queue = job.queue;
    depth.jobs += 1;
    if (job.state == JobState::kQueued && job.ready_time.has_value()) {
      depth.oldest = std::max(depth.oldest, clock_.Now() - *job.ready_time);
    }
  }
  std::vector<QueueDepth> list;
  for (auto& [key, depth] : depths) list.push_back(depth);
  return list;
}

absl::StatusOr<MeasuredRate> FakeJobStore::Rate(const std::string& base_digest) {
  absl::MutexLock lock(&mutex_);
  MeasuredRate rate;
  double seconds = 0, tokens = 0, rows = 0, work = 0, work_seconds = 0;
  for (const auto& [id, record] : records_) {
    const Job& job = record.job;
    if (job.state != JobState::kSucceeded || job.kind == JobKind::kExport ||
        job.kind == JobKind::kSweep || job.inputs.base_digest != base_digest ||
        job.actual.seconds <= 0 || job.actual.tokens <= 0) {
      continue;
    }
    const double taken = job.actual.seconds * job.requirements.gang_size;
    const double own = static_cast<double>(job.actual.tokens) / taken;
    rate.tokens_per_second_lower =
        rate.jobs == 0 ? own : std::min(own, rate.tokens_per_second_lower);
    rate.tokens_per_second_upper = std::max(own, rate.tokens_per_second_upper);
    rate.jobs += 1;
    seconds += taken;
    tokens += static_cast<double>(job.actual.tokens);
    rows += static_cast<double>(job.resolved.steps * job.resolved.batch_size);
    const double done = job.resolved.steps == 0 ? 0
                                                : static_cast<double>(job.progress.step) /
                                                      static_cast<double>(job.resolved.steps);
    const double worked = job.estimate.work * std::min(1.0, done);
    if (worked <= 0) continue;
    const double speed = worked / taken;
    rate.work_per_second_lower = work == 0 ? speed : std::min(speed, rate.work_per_second_lower);
    rate.work_per_second_upper = std::max(speed, rate.work_per_second_upper);
    work += worked;
    work_seconds += taken;
  }
  if (work > 0) rate.work_per_second = work / work_seconds;
  if (rate.jobs > 0) {
    rate.tokens_per_second = tokens / seconds;
    rate.tokens_per_row = rows > 0 ? tokens / rows : 0;
  }
  return rate;
}

}  // namespace crossover::scheduler
