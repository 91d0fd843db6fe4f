#include "services/training_scheduler/storage/group_commit.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/status/error.h"

namespace crossover::scheduler {
namespace {

// True if each may be tried again by itself: nothing was written, and the fault may be one update's
// alone. A database that is away is everyone's fault, and after COMMIT_UNKNOWN the write may stand.
bool MayBeAnothersFault(const std::vector<absl::StatusOr<Job>>& results) {
  const auto failed = [&](const absl::StatusOr<Job>& result) {
    return result.status() == results.front().status();
  };
  const absl::Status& status = results.front().status();
  if (results.size() < 2 || status.ok() || absl::IsUnavailable(status)) return false;
  return std::all_of(results.begin(), results.end(), failed);
}

}  // namespace

std::vector<GroupCommit::Entry*> GroupCommit::TakeBatch() {
  std::vector<Entry*> batch;
  std::set<JobId> jobs;
  for (auto place = waiting_.begin(); place != waiting_.end() && batch.size() < kMaxBatch;) {
    if (jobs.insert((*place)->update.id).second) {
      (*place)->taken = true;
      batch.push_back(*place);
      place = waiting_.erase(place);
    } else {
      ++place;
    }
  }
  return batch;
}

void GroupCommit::WriteBatch(const std::vector<Entry*>& batch) {
  ++writers_;
  mutex_.Unlock();
  std::vector<JobUpdate> updates;
  for (const Entry* entry : batch) updates.push_back(entry->update);
  std::vector<absl::StatusOr<Job>> results = write_(updates);
  const bool again = MayBeAnothersFault(results);
  mutex_.Lock();
  --writers_;
  for (size_t i = 0; i < batch.size(); ++i) {
    batch[i]->alone = again;
    if (!again) batch[i]->result = std::move(results[i]);
    batch[i]->changed.Signal();
  }
  if (!waiting_.empty()) waiting_.front()->changed.Signal();
}

absl::StatusOr<Job> GroupCommit::Update(JobUpdate update) {
  Entry entry;
  entry.update = std::move(update);
  {
    absl::MutexLock lock(&mutex_);
    waiting_.push_back(&entry);
    while (!entry.result.has_value() && !entry.alone) {
      if (writers_ < kWriters && !entry.taken) {
        WriteBatch(TakeBatch());
      } else {
        entry.changed.Wait(&mutex_);
      }
    }
  }
  if (entry.result.has_value()) return *std::move(entry.result);
  return std::move(write_(std::span(&entry.update, 1)).front());
}

}  // namespace crossover::scheduler
