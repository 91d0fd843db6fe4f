// Where the router keeps what must survive it. Implementations: FakeRouterStore, PgRouterStore
// (both pass the conformance suite).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/experiment.h"
#include "services/shadow_router/domain/pair.h"
#include "services/shadow_router/domain/route.h"
#include "services/shadow_router/domain/verdict.h"

namespace crossover::router {

// What a user or a program says about an answer.
struct Feedback {
  std::string id;
  std::string project;       // `projects/{p}`
  std::string inference_id;  // Our request id, or the completion's `id`.
  std::string
      name;  // `label` or `demonstration`: the right output. Anything else: a metric's name.
  std::string value;  // JSON: bool, number, or string.
  std::string author;
  absl::Time time;

  bool operator==(const Feedback&) const = default;
};

// INVALID_ARGUMENT `FEEDBACK_INVALID` for texts that no store can hold.
absl::Status Validate(const Feedback& feedback);

// What to tell the giver of feedback under whose inference id no pair is stored.
std::string NoPairYet(const std::string& inference_id);

// False for the end of an experiment that never began: the route was not its own.
bool MovesRoute(const Experiment& experiment, const Transition& transition);

// Feedback that names a right output for the request of a pair, not graded yet.
struct FeedbackForPair {
  Feedback feedback;
  Pair pair;
};

// Whether trying again later can help. The rest is about the data: the store will never take them.
bool IsPassing(const absl::Status& status);

// A page of a list: `token` of the last item of the page before ("" for the first).
struct Page {
  int size = 50;
  std::string token;
};
template <typename T>
struct Listed {
  std::vector<T> items;
  std::string next_token;  // Empty: no more.
};

struct PairFilter {
  std::string experiment;
  std::optional<int> comparison;
  std::optional<bool> agree;  // By the deciding comparator.
  bool only_valid = false;
};

// Thread-safe. Every method may block and may return UNAVAILABLE while the database can't be
// reached.
class RouterStore {
 public:
  virtual ~RouterStore() = default;

  // --- Routes. Names are whole resource names.
  // ALREADY_EXISTS `RESOURCE_EXISTS`. Sets times, etag and config_version 1. The same request_id
  // with an equal route returns what is stored; with another INVALID_ARGUMENT `REQUEST_ID_REUSED`.
  // Empty request_id: none.
  virtual absl::StatusOr<Route> CreateRoute(const Route& route, const std::string& request_id,
                                            absl::Time now) = 0;
  virtual absl::StatusOr<Route> GetRoute(
      const std::string& name) = 0;  // NOT_FOUND `RESOURCE_NOT_FOUND`
  virtual absl::StatusOr<Listed<Route>> ListRoutes(const std::string& project,
                                                   const Page& page) = 0;
  // Replaces all but name, experiment and create_time; config_version rises. ABORTED
  // `ETAG_MISMATCH` unless route.etag is empty or current.
  virtual absl::StatusOr<Route> UpdateRoute(const Route& route, absl::Time now) = 0;
  // FAILED_PRECONDITION `RESOURCE_IN_USE` while an experiment moves it.
  virtual absl::Status DeleteRoute(const std::string& name) = 0;
  // Every route of every project with the experiment that moves it, for the routing table.
  struct RouteWithExperiment {
    Route route;
    std::optional<Experiment> experiment;
  };
  virtual absl::StatusOr<std::vector<RouteWithExperiment>> LoadRouting() = 0;
  // Rises with every change that the routing table depends on. Cheap.
  virtual absl::StatusOr<int64_t> RoutingVersion() = 0;

  // --- Experiments
  // `experiment.name` is set by the caller; idempotent by request_id as CreateRoute.
  virtual absl::StatusOr<Experiment> CreateExperiment(const Experiment& experiment,
                                                      const std::string& request_id,
                                                      absl::Time now) = 0;
  virtual absl::StatusOr<Experiment> GetExperiment(const std::string& name) = 0;
  virtual absl::StatusOr<Listed<Experiment>> ListExperiments(const std::string& project,
                                                             const std::string& route,
                                                             const Page& page) = 0;
  // Every experiment that a runner has to look at (IsRunning).
  virtual absl::StatusOr<std::vector<Experiment>> RunningExperiments() = 0;
  // Deletes a DRAFT. FAILED_PRECONDITION `STATE_INVALID` otherwise (NotADraft); ABORTED
  // `ETAG_MISMATCH` unless `etag` is empty or current.
  virtual absl::Status DeleteExperiment(const std::string& name, const std::string& etag) = 0;

  // Writes the experiment's new state, the transition and the route (primary, experiment), in one
  // transaction. ABORTED `ETAG_MISMATCH` unless the stored experiment has transition.sequence - 1
  // transitions and (if set) experiment.etag: two deciders can't both move it, nor can a move undo
  // a change of settings. `route.experiment` becomes the experiment's name
  // while it is not terminal, else empty; `primary`: what the route's primary becomes, empty to
  // leave it. FAILED_PRECONDITION `EXPERIMENT_ACTIVE` if another experiment moves the route. The
  // end of a draft leaves the route as it is (MovesRoute), whoever moves it.
  virtual absl::Status ApplyTransition(const Experiment& experiment, const Transition& transition,
                                       const std::string& primary) = 0;
  // Changes of settings that are no change of state (overrides, comparison, fingerprints). Same
  // fence: `experiment.transitions` must be the stored number.
  virtual absl::StatusOr<Experiment> UpdateExperiment(const Experiment& experiment,
                                                      absl::Time now) = 0;
  virtual absl::StatusOr<std::vector<Transition>> ListTransitions(
      const std::string& experiment) = 0;

  // --- Pairs, ledger, arms
  // One transaction. Applying a batch again changes nothing. An error that IsPassing says is none
  // is about what the batch holds.
  virtual absl::Status Flush(const Batch& batch) = 0;
  // Books what the last incarnation of `instance` left in flight as crashed. Call before the first
  // flush of a new incarnation. Returns how many requests that were.
  virtual absl::StatusOr<int64_t> CloseOldIncarnations(const std::string& instance,
                                                       const std::string& incarnation) = 0;
  virtual absl::StatusOr<Pair> GetPair(const std::string& id) = 0;
  virtual absl::StatusOr<Listed<Pair>> ListPairs(const PairFilter& filter,
                                                 const Page& page) = 0;  // Newest first.
  virtual absl::StatusOr<std::vector<LedgerRow>> ListLedger(const std::string& experiment,
                                                            std::optional<int> comparison) = 0;
  virtual absl::StatusOr<LedgerCounts> SumLedger(const std::string& experiment, int comparison) = 0;
  virtual absl::StatusOr<std::map<int, ArmCounts>> SumArms(const std::string& experiment,
                                                           int comparison) = 0;  // By weight.
  // Facts in the order of storage, after `after`, of one comparison.
  virtual absl::StatusOr<std::vector<PairFacts>> PairFactsAfter(const std::string& experiment,
                                                                int comparison, int64_t after,
                                                                int limit) = 0;
  virtual absl::StatusOr<std::vector<GradeFacts>> GradeFactsAfter(const std::string& experiment,
                                                                  int comparison, int64_t after,
                                                                  int limit) = 0;

  // --- Feedback and recordings
  // Ids are unique in a project. The same feedback again with the same id changes nothing, whatever
  // its time; other feedback with that id is INVALID_ARGUMENT `REQUEST_ID_REUSED`. Whether a pair
  // of its project is stored under its inference id by now.
  virtual absl::StatusOr<bool> AddFeedback(const Feedback& feedback) = 0;
  // Right outputs (`label`, `demonstration`) of the experiment's project whose pair (by request or
  // completion id) has no LABEL grade yet, where the feedback or the pair was stored after `since`.
  // Older ones may be among them. In no particular order; where several name one pair, the newest.
  virtual absl::StatusOr<std::vector<FeedbackForPair>> UngradedFeedback(
      const std::string& experiment, absl::Time since, int limit) = 0;
  // Appends a grade to a pair; a second one of the same source and grader version is ignored.
  virtual absl::Status AddGrade(const std::string& pair, const Grade& grade) = 0;
  virtual absl::StatusOr<Listed<Feedback>> ListFeedback(const std::string& inference_id,
                                                        const Page& page) = 0;
  virtual absl::StatusOr<Listed<Recording>> ListRecordings(const std::string& route,
                                                           const Page& page) = 0;  // Newest first.
};

// Why an experiment is not deleted, and how it ends instead.
absl::Status NotADraft(const Experiment& experiment);

}  // namespace crossover::router
