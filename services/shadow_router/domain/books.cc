#include "services/shadow_router/domain/books.h"

#include <algorithm>

namespace crossover::router {

void ArmCounts::Add(const ArmCounts& other) {
  reference_requests += other.reference_requests;
  candidate_requests += other.candidate_requests;
  for (const auto& [event, count] : other.reference_events) reference_events[event] += count;
  for (const auto& [event, count] : other.candidate_events) candidate_events[event] += count;
}

// Minutes never go back, even if the wall clock does: a forgotten row must not be started again
// from zero.
LedgerKey Books::KeyNow(const std::string& experiment, int comparison) {
  const absl::Time minute = absl::FromUnixSeconds(absl::ToUnixSeconds(clock_.Now()) / 60 * 60);
  last_minute_ = std::max(last_minute_, minute);
  return {experiment, comparison, last_minute_};
}

LedgerCounts& Books::Row(const LedgerKey& key) {
  changed_.insert(key);
  return rows_[key];
}

void Books::Eligible(const std::string& experiment, int comparison) {
  absl::MutexLock lock(&mutex_);
  ++Row(KeyNow(experiment, comparison)).eligible;
}

LedgerKey Books::Sampled(const std::string& experiment, int comparison) {
  absl::MutexLock lock(&mutex_);
  LedgerKey key = KeyNow(experiment, comparison);
  LedgerCounts& row = Row(key);
  ++row.eligible;
  ++row.sampled;
  ++row.in_flight;
  return key;
}

void Books::Paired(const LedgerKey& key, int64_t bytes, Pair pair) {
  absl::MutexLock lock(&mutex_);
  LedgerCounts& row = Row(key);
  ++row.paired;
  --row.in_flight;
  row.bytes += bytes;
  pair.minute = key.minute;
  pairs_.push_back(std::move(pair));
}

void Books::Failed(const LedgerKey& key, std::string_view reason) {
  absl::MutexLock lock(&mutex_);
  LedgerCounts& row = Row(key);
  ++row.failed[std::string(reason)];
  --row.in_flight;
}

void Books::Dropped(const LedgerKey& key, DropReason reason) {
  absl::MutexLock lock(&mutex_);
  LedgerCounts& row = Row(key);
  ++row.dropped[std::string(ToString(reason))];
  --row.in_flight;
}

void Books::Served(const ArmKey& key, bool canary, const std::vector<BadEvent>& events) {
  absl::MutexLock lock(&mutex_);
  ArmCounts& counts = arms_[key];
  changed_arms_.insert(key);
  ++(canary ? counts.candidate_requests : counts.reference_requests);
  auto& arm = canary ? counts.candidate_events : counts.reference_events;
  for (BadEvent event : events) ++arm[std::string(ToString(event))];
}

void Books::Record(Recording recording) {
  absl::MutexLock lock(&mutex_);
  recordings_.push_back(std::move(recording));
}

Batch Books::Take() {
  absl::MutexLock lock(&mutex_);
  Batch batch{.instance = instance_, .incarnation = incarnation_};
  for (const LedgerKey& key : changed_) batch.ledger.emplace_back(key, rows_[key]);
  changed_.clear();
  for (const ArmKey& key : changed_arms_) batch.arms.emplace_back(key, arms_[key]);
  changed_arms_.clear();
  batch.pairs.swap(pairs_);
  batch.recordings.swap(recordings_);
  std::erase_if(rows_, [this](const auto& row) {
    return row.first.minute < last_minute_ && row.second.in_flight == 0;
  });
  return batch;
}

LedgerCounts Books::Held(const std::string& experiment, int comparison) const {
  absl::MutexLock lock(&mutex_);
  LedgerCounts sum;
  for (const auto& [key, counts] : rows_) {
    if (key.experiment == experiment && key.comparison == comparison) sum.Add(counts);
  }
  return sum;
}

}  // namespace crossover::router
