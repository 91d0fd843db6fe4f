#include "services/shadow_router/domain/flusher.h"

#include <utility>

#include "common/status/status_macros.h"

namespace crossover::router {
namespace {

// Whether trying again later can help. The rest is a batch that the database will never take.
bool IsPassing(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::Status Flusher::Store(const Batch& batch) {
  absl::Status status = store_.Flush(batch);
  if (status.ok() || IsPassing(status)) return status;
  // An experiment that was deleted while its last pairs were under way, or a bug. Keeping it would
  // hold up everything behind it.
  logger_.Error(
      "router_batch_rejected",
      {{"pairs", batch.pairs.size()}, {"ledger_rows", batch.ledger.size()}, {"error", status}});
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

absl::Status Flusher::FlushOnce() {
  absl::MutexLock lock(&mutex_);
  Batch batch = books_.Take();
  if (!batch.empty()) kept_.push_back(std::move(batch));
  absl::Status status = absl::OkStatus();
  if (!journal_.empty()) {
    status = journal_.Replay(
        [this](const Batch& old) ABSL_NO_THREAD_SAFETY_ANALYSIS { return Store(old); },
        [this](const Feedback& feedback) { return store_.AddFeedback(feedback); });
  }
  if (status.ok()) status = CloseOldIncarnations();
  while (status.ok() && !kept_.empty()) {
    status = Store(kept_.front());
    if (status.ok()) kept_.pop_front();
  }
  blocked_ = false;
  while (!kept_.empty()) {
    if (absl::Status appended = journal_.Append(kept_.front()); !appended.ok()) {
      blocked_ = true;
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

absl::Status Flusher::Record(const Feedback& feedback) {
  absl::Status status = store_.AddFeedback(feedback);
  if (status.ok() || !IsPassing(status)) return status;
  return journal_.Append(feedback);
}

bool Flusher::blocked() const {
  absl::MutexLock lock(&mutex_);
  return blocked_;
}

}  // namespace crossover::router
