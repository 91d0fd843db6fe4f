// The mirror: calls the other model with a copy of the request, never on the answer's path.
//
// Offer is all that a request's thread ever does: it takes a lock, compares two numbers and
// returns. The queue is bounded in bytes; what doesn't fit is dropped and counted. Calls run on the
// mirror's own threads with their own connections, timeout and budgets, so a shadow that hangs,
// refuses, floods or dies costs the mirror, not the client.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/breaker.h"
#include "services/shadow_router/domain/budget.h"
#include "services/shadow_router/domain/chat_request.h"
#include "services/shadow_router/domain/pair_builder.h"
#include "services/shadow_router/domain/redactor.h"
#include "services/shadow_router/domain/routing_table.h"
#include "services/shadow_router/domain/upstream.h"

namespace crossover::router {

struct MirrorOptions {
  size_t max_queue_bytes = 64 << 20;
  size_t max_item_bytes = 8 << 20;             // Request and served answer together.
  size_t max_answer_bytes = 4 << 20;           // Of the shadow's answer.
  int workers = 4;                             // Calls at the same time.
  absl::Duration timeout = absl::Seconds(60);  // Upper bound of every mirror call.
};

// A request that was served and is to be answered once more.
struct MirrorJob {
  LedgerKey key;  // Booked as sampled.
  std::shared_ptr<const ResolvedRoute> route;
  Assignment assignment;
  ChatRequest request;
  Answer served;               // Of the variant that was asked last, whether or not it succeeded.
  std::string served_variant;  // Its name.
  bool from_fallback = false;  // Another variant than the assigned one.
  std::optional<Answer> failed_first;  // How the assigned one failed, if from_fallback.
  std::string request_id;              // The inference id that the client got: the pair's id too.
  std::string trace_id;
  std::string cluster;
  std::string caller;  // Who asked, for our own model server's turns.
  absl::Time time;

  size_t Bytes() const;
};

// Why no second call could make a valid pair of this job; kValid if one can. The reference's answer
// is the truth that the candidate is held against, so that a cut, filtered, cached or fallback one
// is not worth a call; nor is a conversation with tool results, which answer the calls of the model
// that was served. What the candidate did wrong is evidence.
Validity TruthOf(const MirrorJob& job);

// Thread-safe. Every job that is offered ends in exactly one booking: paired, failed or dropped.
class Mirror {
 public:
  // Told of each outcome: `outcome` is paired, failed or dropped; `reason` empty for paired. For
  // metrics.
  using Observer = std::function<void(const std::string& route, std::string_view outcome,
                                      std::string_view reason)>;

  struct Deps {
    Upstream& upstream;
    Books& books;
    Breakers& breakers;  // The mirror's own: a primary's trouble doesn't stop the shadow, nor the
                         // reverse.
    BudgetMeter& budget;
    const Redactor& redactor;
    Clock& clock;
  };

  Mirror(MirrorOptions options, Deps deps);
  ~Mirror();  // Stop()
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  void SetObserver(Observer observer);  // Before Start.
  void Start();

  // Never blocks on I/O.
  void Offer(MirrorJob job);

  // Ends calls under way, books what is queued as cancelled, joins. Idempotent.
  void Stop();

  // While true everything offered is dropped with `breaker_open`: storage can't take more.
  void SetBlocked(bool blocked);

  size_t queued_bytes() const;
  // Blocks until nothing is queued or running. For tests and orderly ends.
  void WaitUntilIdle();

 private:
  void Work();
  void Run(const MirrorJob& job);
  void Drop(const MirrorJob& job, DropReason reason);
  void Fail(const MirrorJob& job, std::string_view reason);
  // How one leg ended: with an answer (that may say that the upstream failed), or not called.
  struct Called {
    std::optional<Answer> answer;
    std::optional<DropReason> dropped;
    std::string_view failed;  // Reason of the ledger, where neither is set.
  };
  Called CallLeg(const MirrorJob& job, const std::string& variant);
  // The answer of a leg without which there is no pair; nullopt if the job has been booked.
  // `is_evidence`: a failure of the upstream counts as its answer.
  std::optional<Answer> Needed(const MirrorJob& job, const std::string& variant, bool is_evidence);
  // Both sides, or nullopt if the job has been booked.
  std::optional<Answers> Collect(const MirrorJob& job);
  // For the gates at 100 % of the traffic: what befell only one of the two that were asked. A
  // fallback's answer counts where the mirror, too, would have asked the reference, so that its
  // troubles and the candidate's are seen alike.
  void BookSameRequest(const MirrorJob& job, const Answer& reference, const Answer& candidate);
  bool CouldCall(const MirrorJob& job, const std::string& variant);
  Pair NewPair(const MirrorJob& job) const;
  void Book(const MirrorJob& job, Pair pair);
  Leg MakeLeg(const MirrorJob& job, LegRole role, const ResolvedVariant& variant,
              const Answer& answer, bool served) const;
  bool Consents(const MirrorJob& job, const ResolvedVariant& variant) const;

  const MirrorOptions options_;
  Deps deps_;
  Observer observer_;
  std::vector<std::thread> threads_;
  mutable absl::Mutex mutex_;
  std::deque<std::pair<size_t, MirrorJob>> queue_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  // Experiment, comparison, cluster: one event each.
  absl::flat_hash_set<std::tuple<std::string, int, std::string>> clusters_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crossover::router
