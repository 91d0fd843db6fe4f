// The router's store in PostgreSQL, schema `router`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/pg/pool.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// Thread-safe. Borrows the pool, whose search_path is the schema.
class PgRouterStore final : public RouterStore {
 public:
  explicit PgRouterStore(pg::Pool& pool) : pool_(pool) {}

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
  pg::Pool& pool_;
};

}  // namespace crossover::router
