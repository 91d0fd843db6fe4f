// The store in memory, for tests.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// Thread-safe.
class FakeRouterStore final : public RouterStore {
 public:
  // Every method returns this until OK is set.
  void Fail(absl::Status status);
  // A batch that holds this pair, or feedback of this id, is refused for good; "" for none.
  void Refuse(std::string id);
  // Called once, when the next transition has been decided and is about to be stored.
  void BeforeNextTransition(std::function<void()> hook);

  absl::StatusOr<Route> CreateRoute(const Route& route, const std::string& request_id,
                                    absl::Time now) override;
  absl::StatusOr<Route> GetRoute(const std::string& name) override;
  absl::StatusOr<Listed<Route>> ListRoutes(const std::string& project, const Page& page) override;
  absl::StatusOr<Route> UpdateRoute(const Route& route, absl::Time now) override;
  absl::Status DeleteRoute(const std::string& name) override;
  absl::StatusOr<std::vector<RouteWithExperiment>> LoadRouting() override;
  absl::StatusOr<int64_t> RoutingVersion() override;
  absl::StatusOr<Experiment> CreateExperiment(const Experiment& experiment,
                                              const std::string& request_id,
                                              absl::Time now) override;
  absl::StatusOr<Experiment> GetExperiment(const std::string& name) override;
  absl::StatusOr<Listed<Experiment>> ListExperiments(const std::string& project,
                                                     const std::string& route,
                                                     const Page& page) override;
  absl::StatusOr<std::vector<Experiment>> RunningExperiments() override;
  absl::Status DeleteExperiment(const std::string& name, const std::string& etag) override;
  absl::Status ApplyTransition(const Experiment& experiment, const Transition& transition,
                               const std::string& primary) override;
  absl::StatusOr<Experiment> UpdateExperiment(const Experiment& experiment,
                                              absl::Time now) override;
  absl::StatusOr<std::vector<Transition>> ListTransitions(const std::string& experiment) override;
  absl::Status Flush(const Batch& batch) override;
  absl::StatusOr<int64_t> CloseOldIncarnations(const std::string& instance,
                                               const std::string& incarnation) override;
  absl::StatusOr<Pair> GetPair(const std::string& id) override;
  absl::StatusOr<Listed<Pair>> ListPairs(const PairFilter& filter, const Page& page) override;
  absl::StatusOr<std::vector<LedgerRow>> ListLedger(const std::string& experiment,
                                                    std::optional<int> comparison) override;
  absl::StatusOr<LedgerCounts> SumLedger(const std::string& experiment, int comparison) override;
  absl::StatusOr<std::map<int, ArmCounts>> SumArms(const std::string& experiment,
                                                   int comparison) override;
  absl::StatusOr<std::vector<PairFacts>> PairFactsAfter(const std::string& experiment,
                                                        int comparison, int64_t after,
                                                        int limit) override;
  absl::StatusOr<std::vector<GradeFacts>> GradeFactsAfter(const std::string& experiment,
                                                          int comparison, int64_t after,
                                                          int limit) override;
  absl::StatusOr<bool> AddFeedback(const Feedback& feedback) override;
  absl::StatusOr<std::vector<FeedbackForPair>> UngradedFeedback(const std::string& experiment,
                                                                absl::Time since,
                                                                int limit) override;
  absl::Status AddGrade(const std::string& pair, const Grade& grade) override;
  absl::StatusOr<Listed<Feedback>> ListFeedback(const std::string& inference_id,
                                                const Page& page) override;
  absl::StatusOr<Listed<Recording>> ListRecordings(const std::string& route,
                                                   const Page& page) override;

 private:
  struct StoredGrade {
    int64_t sequence;
    std::string pair;
    Grade grade;
  };
  using ArmRow = std::tuple<std::string, std::string, ArmKey>;
  using LedgerRowKey = std::tuple<std::string, std::string, LedgerKey>;

  void InsertPair(const Pair& pair) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void InsertGrade(const std::string& pair, const Grade& grade)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Pair* PairOf(const std::string& inference_id, const std::string& experiment) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> before_transition_ ABSL_GUARDED_BY(mutex_);
  std::string refused_ ABSL_GUARDED_BY(mutex_);
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<std::string, Route> routes_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Experiment> experiments_ ABSL_GUARDED_BY(mutex_);
  // project/request_id → name and payload.
  std::map<std::string, std::pair<std::string, std::string>> requests_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<Transition>> transitions_ ABSL_GUARDED_BY(mutex_);
  std::map<LedgerRowKey, LedgerCounts> ledger_ ABSL_GUARDED_BY(mutex_);
  std::map<ArmRow, ArmCounts> arms_ ABSL_GUARDED_BY(mutex_);
  std::vector<Pair> pairs_ ABSL_GUARDED_BY(mutex_);  // Order of storage; sequence = index + 1.
  std::vector<StoredGrade> grades_ ABSL_GUARDED_BY(mutex_);
  std::vector<Feedback> feedback_ ABSL_GUARDED_BY(mutex_);
  std::vector<Recording> recordings_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::router
