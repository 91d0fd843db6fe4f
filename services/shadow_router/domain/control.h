// The experiments' control: verbs of people, decisions of the clock, one path for both.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/id/uuid7.h"
#include "common/log/logger.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/catalog.h"
#include "services/shadow_router/domain/evaluations.h"
#include "services/shadow_router/domain/policy.h"
#include "services/shadow_router/domain/routing_table.h"
#include "services/shadow_router/domain/store.h"
#include "services/shadow_router/domain/verdict.h"

namespace crossover::router {

// Everything that is known about an experiment at one moment.
struct Report {
  Experiment experiment;
  Verdict verdict;
  Progress progress;
  std::vector<Condition> conditions;
  std::optional<absl::Duration> eta;
  std::string words;
};

// Thread-safe. Borrows everything. State lives in the store; what is kept here (the fold of the
// evidence) can be rebuilt from it at any time, so that a restart loses nothing and two routers may
// watch the same experiment.
class ExperimentControl {
 public:
  struct Deps {
    RouterStore& store;
    Catalog& catalog;
    Clock& clock;
    Logger& logger;
    RoutingTableHolder& table;
    ResolverOptions resolver;
    // nullptr: what an experiment names as its candidate's evaluation cannot be read, and does not
    // count.
    Evaluations* evaluations = nullptr;
  };
  explicit ExperimentControl(Deps deps) : deps_(std::move(deps)) {}

  // A verb of `actor`. Start resolves the candidate: FAILED_PRECONDITION `CANDIDATE_NOT_EVALUATED`
  // unless the experiment names an evaluation that measured the candidate, its prompt has one, or
  // `reason` is given, which is recorded as the override "evaluation". ABORTED if it keeps changing
  // at the same time.
  absl::StatusOr<Experiment> Do(const std::string& name, Verb verb, const std::string& actor,
                                const std::string& reason);

  // Lowers a minimum by name; recorded and shown.
  absl::StatusOr<Experiment> AddOverride(const std::string& name, const Override& override);

  // Reads what is new, decides, moves. One experiment's trouble doesn't stop the others. Call it
  // every few seconds; an experiment is looked at once per its own decision_interval.
  absl::Status Tick();

  // Reads routes and experiments and swaps the table if anything changed, or if `force`. Opens a
  // new comparison where the provenance changed.
  absl::Status Reload(bool force = false);

  // With the evidence up to now. `comparison` < 0: the current one.
  absl::StatusOr<Report> Explain(const std::string& name, int comparison = -1);

  // Told of every report the tick makes, and of ends. For metrics.
  using Observer = std::function<void(const Report&)>;
  void SetObserver(Observer observer);  // Before the first Tick.

 private:
  // The fold of one comparison, with how far it has read.
  struct Fold {
    explicit Fold(const Experiment& experiment) : evidence(experiment) {}
    Evidence evidence;
    int64_t pair_cursor = 0;
    int64_t grade_cursor = 0;
    absl::Duration last_look = -absl::InfiniteDuration();
    absl::Time feedback_since = absl::InfinitePast();
    std::string primary_fingerprint, candidate_fingerprint;
    absl::Duration rate_since = absl::ZeroDuration();
    int64_t rate_from = 0;
  };

  // Evidence settings that can't change within a comparison are part of the key.
  std::shared_ptr<Fold> FoldOf(const Experiment& experiment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status GradeFeedback(const Experiment& experiment, Fold& fold);
  absl::Status Read(const Experiment& experiment, Fold& fold);
  absl::StatusOr<Report> LookWith(const Experiment& experiment, Fold& fold);
  absl::StatusOr<Report> Look(const Experiment& experiment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LookAndMove(const Experiment& experiment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Experiment> DoOnce(const std::string& name, Verb verb, const std::string& actor,
                                    const std::string& reason) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Experiment> StartOnce(const std::string& name, const std::string& actor,
                                       const std::string& reason) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Experiment> Transit(const Experiment& experiment, const Move& move,
                                     const std::string& actor, const Verdict& verdict)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Other services are asked: without the lock, for every tick and rollback waits for that.
  absl::Status CheckStart(Experiment& experiment) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckEvaluated(const Experiment& experiment, const ResolvedVariant& candidate);
  absl::Status OpenComparison(Experiment experiment, const std::string& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReloadLocked(bool force) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckFingerprints(const Experiment& experiment, const Fold& fold)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Deps deps_;
  Observer observer_;
  absl::Mutex mutex_;
  std::map<std::pair<std::string, int>, std::shared_ptr<Fold>> folds_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex ended_mutex_;
  std::map<std::pair<std::string, int>, std::shared_ptr<Fold>> ended_folds_
      ABSL_GUARDED_BY(ended_mutex_);
  int64_t loaded_version_ ABSL_GUARDED_BY(mutex_) = -1;
  absl::Duration loaded_at_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
};

}  // namespace crossover::router
