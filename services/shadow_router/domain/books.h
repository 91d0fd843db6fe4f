// What the data plane has seen and storage has not yet: ledger counts, pairs, canary counts,
// recordings.
//
// One lock covers all of it, so that a snapshot taken for a flush never shows a pair without its
// booking or the reverse.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/bad_events.h"
#include "services/shadow_router/domain/ledger.h"
#include "services/shadow_router/domain/pair.h"

namespace crossover::router {

// Served requests of an experiment by arm, at one canary weight. Bad events are compared by arm and
// weight, never pooled.
struct ArmKey {
  std::string experiment;
  int comparison = 0;
  int weight = 0;  // Basis points, or kSameRequest.

  auto AsTuple() const { return std::tie(experiment, comparison, weight); }
  bool operator<(const ArmKey& other) const { return AsTuple() < other.AsTuple(); }
  bool operator==(const ArmKey& other) const { return AsTuple() == other.AsTuple(); }
};

// In place of a weight: requests that both were asked at 100 %, where no arm stands beside the
// candidate's. Only what befell one of the two is counted, once for a cluster; were they equally
// good, it would befall either as often.
inline constexpr int kSameRequest = 0;

struct ArmCounts {
  int64_t reference_requests = 0;
  int64_t candidate_requests = 0;
  std::map<std::string, int64_t> reference_events;
  std::map<std::string, int64_t> candidate_events;

  void Add(const ArmCounts& other);
  bool operator==(const ArmCounts&) const = default;
};

// A request and its answer, kept because the client asked with `store: true` and the task's data
// policy allows it.
struct Recording {
  std::string id;
  std::string route;
  std::string variant;
  std::string request_id;
  std::string completion_id;
  absl::Time time;
  std::string request;  // Redacted JSON; empty at policy METADATA.
  std::string response;
  std::string tool_calls;  // Answer::tool_calls
  std::string finish_reason;
  std::map<std::string, std::string> metadata;  // The request's.
  int redactions = 0;
  std::string input_digest;
  Usage usage;

  bool operator==(const Recording&) const = default;
};

// One flush. Counts are absolute, pairs and recordings carry ids: applying a batch twice does no
// harm.
struct Batch {
  std::string instance;
  std::string incarnation;
  std::vector<std::pair<LedgerKey, LedgerCounts>> ledger;
  std::vector<std::pair<ArmKey, ArmCounts>> arms;
  std::vector<Pair> pairs;
  std::vector<Recording> recordings;

  bool empty() const {
    return ledger.empty() && arms.empty() && pairs.empty() && recordings.empty();
  }
};

// Thread-safe. Borrows clock. Every call is O(log rows) under one short lock.
class Books {
 public:
  Books(std::string instance, std::string incarnation, Clock& clock)
      : instance_(std::move(instance)), incarnation_(std::move(incarnation)), clock_(clock) {}

  void Eligible(const std::string& experiment, int comparison);

  // Books a sampled request as in flight; the key is handed to exactly one of Paired, Failed and
  // Dropped.
  LedgerKey Sampled(const std::string& experiment, int comparison);
  void Paired(const LedgerKey& key, int64_t bytes, Pair pair);
  void Failed(const LedgerKey& key, std::string_view reason);
  void Dropped(const LedgerKey& key, DropReason reason);

  void Served(const ArmKey& key, bool canary, const std::vector<BadEvent>& events);
  void Record(Recording recording);

  // Everything that changed since the last call. Rows that can't change any more are forgotten.
  Batch Take();

  const std::string& instance() const { return instance_; }
  const std::string& incarnation() const { return incarnation_; }

  // Sum of the rows of a comparison that are held in memory. For tests and metrics.
  LedgerCounts Held(const std::string& experiment, int comparison) const;

 private:
  LedgerKey KeyNow(const std::string& experiment, int comparison)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  LedgerCounts& Row(const LedgerKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string instance_;
  const std::string incarnation_;
  Clock& clock_;
  mutable absl::Mutex mutex_;
  absl::Time last_minute_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::map<LedgerKey, LedgerCounts> rows_ ABSL_GUARDED_BY(mutex_);
  std::set<LedgerKey> changed_ ABSL_GUARDED_BY(mutex_);
  std::map<ArmKey, ArmCounts> arms_ ABSL_GUARDED_BY(mutex_);
  std::set<ArmKey> changed_arms_ ABSL_GUARDED_BY(mutex_);
  std::vector<Pair> pairs_ ABSL_GUARDED_BY(mutex_);
  std::vector<Recording> recordings_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::router
