// Carries the books to storage, or into the journal while the database is away.
#pragma once

#include <deque>
#include <string>

#include "absl/status/status.h"
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

  // One round: what the journal holds first (order matters: counts are absolute), then what the
  // books hold. Never loses a batch that it could neither store nor journal: it is tried again next
  // time. The first round that reaches the database also books what this instance's last
  // incarnation left in flight as crashed.
  absl::Status FlushOnce();

  // Durable when OK: in the database, else in the journal.
  absl::Status Record(const Feedback& feedback);

  // True after a round that could put its batch nowhere: the mirror should stop making more.
  bool blocked() const;

 private:
  absl::Status CloseOldIncarnations() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Store(const Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Books& books_;
  RouterStore& store_;
  Journal& journal_;
  Logger& logger_;
  mutable absl::Mutex mutex_;
  std::deque<Batch> kept_ ABSL_GUARDED_BY(mutex_);  // Neither stored nor journalled yet.
  bool closed_old_ ABSL_GUARDED_BY(mutex_) = false;
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crossover::router
