#include "services/shadow_router/domain/flusher.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status/status_macros.h"

namespace crossover::router {
namespace {

constexpr char kRejected[] = "rejected";  // Reason of a failure in the ledger.

}  // namespace

void Flusher::Count(std::string_view kind, int64_t count) {
  if (count > 0 && observer_) observer_(kind, count);
}

void Flusher::CorrectLedger(Batch& batch) const {
  if (rejected_pairs_.empty()) return;
  for (auto& [key, counts] : batch.ledger) {
    const auto it = rejected_pairs_.find({batch.incarnation, key});
    if (it == rejected_pairs_.end()) continue;
    const int64_t count = std::min(it->second, counts.paired);
    counts.paired -= count;
    if (count > 0) counts.failed[kRejected] += count;
  }
}

absl::Status Flusher::Store(Batch batch) {
  CorrectLedger(batch);
  const absl::Status status = store_.Flush(batch);
  if (status.ok() || IsPassing(status)) return status;
  return StoreByItem(std::move(batch), status);
}

// Something in the batch is at fault: an answer that the database can't hold, or an experiment that
// was deleted while its last pairs were under way. What is not is stored all the same; pairs go
// first, because the ledger says how many of them there are.
absl::Status Flusher::StoreByItem(Batch batch, const absl::Status& why) {
  const auto alone = [&](auto fill) {
    Batch one{.instance = batch.instance, .incarnation = batch.incarnation};
    fill(one);
    return store_.Flush(one);
  };
  int64_t pairs = 0, ledger = 0, arms = 0, recordings = 0;
  // Whether an item is to be counted as rejected; a passing error ends the round.
  const auto rejected = [](const absl::Status& status) -> absl::StatusOr<bool> {
    if (!status.ok() && IsPassing(status)) return status;
    return !status.ok();
  };
  std::map<RowKey, int64_t> found;
  for (const Pair& pair : batch.pairs) {
    ASSIGN_OR_RETURN(const bool bad,
                     rejected(alone([&](Batch& one) { one.pairs.push_back(pair); })));
    if (!bad) continue;
    ++pairs;
    ++found[{batch.incarnation, {pair.experiment, pair.comparison, pair.minute}}];
  }
  Batch corrected{.incarnation = batch.incarnation, .ledger = std::move(batch.ledger)};
  for (auto& [key, counts] : corrected.ledger) {
    const auto it = found.find({batch.incarnation, key});
    if (it == found.end()) continue;
    counts.paired -= it->second;
    counts.failed[kRejected] += it->second;
  }
  for (const auto& row : corrected.ledger) {
    ASSIGN_OR_RETURN(const bool bad,
                     rejected(alone([&](Batch& one) { one.ledger.push_back(row); })));
    ledger += bad;
  }
  for (const auto& row : batch.arms) {
    ASSIGN_OR_RETURN(const bool bad, rejected(alone([&](Batch& one) { one.arms.push_back(row); })));
    arms += bad;
  }
  for (const Recording& recording : batch.recordings) {
    ASSIGN_OR_RETURN(const bool bad,
                     rejected(alone([&](Batch& one) { one.recordings.push_back(recording); })));
    recordings += bad;
  }
  for (const auto& [key, count] : found) rejected_pairs_[key] += count;
  Count("pair", pairs);
  Count("ledger", ledger);
  Count("arm", arms);
  Count("recording", recordings);
  logger_.Error("router_batch_rejected", {{"pairs", pairs},
                                          {"ledger_rows", ledger},
                                          {"arm_rows", arms},
                                          {"recordings", recordings},
                                          {"of_pairs", batch.pairs.size()},
                                          {"error", why}});
  return absl::OkStatus();
}

// After the journal has been replayed: it may hold the last rows of the old incarnation.
absl::Status Flusher::CloseOldIncarnations() {
  if (closed_old_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t crashed,
                   store_.CloseOldIncarnations(books_.instance(), books_.incarnation()));
  closed_old_ = true;
  if (crashed > 0) logger_.Warning("router_crashed_requests_booked", {{"requests", crashed}});
  return absl::OkStatus();
}

absl::Status Flusher::ReplayJournal() {
  if (journal_.empty()) return absl::OkStatus();
  return journal_.Replay(
      {.on_batch = [this](Batch old)
                       ABSL_NO_THREAD_SAFETY_ANALYSIS { return Store(std::move(old)); },
       .on_feedback =
           [this](const Feedback& feedback) { return store_.AddFeedback(feedback).status(); },
       .on_rejected =
           [this](const absl::Status& why) {
             Count("journal", 1);
             logger_.Error("router_journal_record_rejected",
                           {{"error", why}, {"kept_in", journal_.rejects_path()}});
           }});
}

// The mirror stops making pairs, but clients go on asking for recordings: memory would have no end.
void Flusher::DropRecordings() {
  int64_t dropped = 0;
  for (Batch& batch : kept_) {
    dropped += static_cast<int64_t>(batch.recordings.size());
    batch.recordings.clear();
  }
  std::erase_if(kept_, [](const Batch& batch) { return batch.empty(); });
  if (dropped == 0) return;
  Count("recording", dropped);
  logger_.Error("router_recordings_dropped", {{"recordings", dropped}});
}

absl::Status Flusher::FlushOnce() {
  absl::MutexLock lock(&mutex_);
  Batch batch = books_.Take();
  if (!batch.empty()) kept_.push_back(std::move(batch));
  absl::Status status = ReplayJournal();
  if (status.ok()) status = CloseOldIncarnations();
  while (status.ok() && !kept_.empty()) {
    status = Store(kept_.front());
    if (status.ok()) kept_.pop_front();
  }
  blocked_ = false;
  while (!kept_.empty()) {
    if (absl::Status appended = journal_.Append(kept_.front()); !appended.ok()) {
      blocked_ = true;
      DropRecordings();
      logger_.Error("router_journal_failed",
                    {{"error", appended}, {"batches_in_memory", kept_.size()}});
      return appended;
    }
    kept_.pop_front();
  }
  if (!status.ok())
    logger_.Warning("router_flush_journalled",
                    {{"error", status}, {"journal_bytes", journal_.bytes()}});
  return status;
}

absl::StatusOr<bool> Flusher::Record(const Feedback& feedback) {
  RETURN_IF_ERROR(Validate(feedback));
  absl::StatusOr<bool> has_pair = store_.AddFeedback(feedback);
  if (!has_pair.ok() && IsPassing(has_pair.status())) {
    RETURN_IF_ERROR(journal_.Append(feedback));
    return true;
  }
  if (has_pair.ok() && feedback_observer_) feedback_observer_(*has_pair);
  return has_pair;
}

bool Flusher::blocked() const {
  absl::MutexLock lock(&mutex_);
  return blocked_;
}

}  // namespace crossover::router
