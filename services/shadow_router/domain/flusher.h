// Carries the books to storage, or into the journal while the database is away.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/log/logger.h"
#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/journal.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// Thread-safe. Borrows everything.
class Flusher {
 public:
  Flusher(Books& books, RouterStore& store, Journal& journal, Logger& logger)
      : books_(books), store_(store), journal_(journal), logger_(logger) {}

  // Told how many items of a kind ("ledger", "arm", "pair", "recording", "journal") the store will
  // never take. For metrics.
  using Observer = std::function<void(std::string_view kind, int64_t count)>;
  void SetObserver(Observer observer) { observer_ = std::move(observer); }  // Before FlushOnce.

  // One round: what the journal holds first (order matters: counts are absolute), then what the
  // books hold. Never loses a batch that it could neither store nor journal: it is tried again next
  // time, but for its recordings, which are dropped and counted, because nothing bounds them. Of a
  // batch that the store refuses for good, everything is kept but the items at fault, which are
  // counted and logged; their pairs are booked as failed{rejected}. The first round that reaches
  // the database also books what this instance's last incarnation left in flight as crashed.
  absl::Status FlushOnce();

  // Told of feedback that came, and whether a pair was known under its inference id. For metrics.
  using FeedbackObserver = std::function<void(bool has_pair)>;
  void SetFeedbackObserver(FeedbackObserver observer) {  // Before Record.
    feedback_observer_ = std::move(observer);
  }

  // Durable when OK: in the database, else in the journal. False: no pair is known under its
  // inference id, which the giver should be told (NoPairYet). In the journal nobody can say: true.
  absl::StatusOr<bool> Record(const Feedback& feedback);

  // True after a round that could put its batch nowhere: the mirror should stop making more.
  bool blocked() const;

 private:
  using RowKey = std::pair<std::string, LedgerKey>;  // Incarnation first.

  absl::Status CloseOldIncarnations() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReplayJournal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Store(Batch batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status StoreByItem(Batch batch, const absl::Status& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Books the pairs that were rejected so far as failed instead of paired.
  void CorrectLedger(Batch& batch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropRecordings() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Count(std::string_view kind, int64_t count);

  Books& books_;
  RouterStore& store_;
  Journal& journal_;
  Logger& logger_;
  Observer observer_;
  FeedbackObserver feedback_observer_;
  mutable absl::Mutex mutex_;
  std::deque<Batch> kept_ ABSL_GUARDED_BY(mutex_);  // Neither stored nor journalled yet.
  std::map<RowKey, int64_t> rejected_pairs_ ABSL_GUARDED_BY(mutex_);
  bool closed_old_ ABSL_GUARDED_BY(mutex_) = false;
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crossover::router
