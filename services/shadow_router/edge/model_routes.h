// Models that are called by their own name: as routes with one variant, made when they are asked
// for.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/http/async.h"
#include "services/shadow_router/domain/caller.h"
#include "services/shadow_router/domain/catalog.h"
#include "services/shadow_router/domain/local_models.h"
#include "services/shadow_router/domain/routing_table.h"

namespace crossover::router {

// The name of those routes in metrics, recordings and in the list of routes that a key may use.
inline constexpr char kModelRoute[] = "models";

// Thread-safe. Borrows models and catalog.
class ModelRoutes {
 public:
  ModelRoutes(LocalModels& models, Catalog& catalog, ResolverOptions options);
  ~ModelRoutes();  // Stop()
  ModelRoutes(const ModelRoutes&) = delete;
  ModelRoutes& operator=(const ModelRoutes&) = delete;

  // A route to the model. NOT_FOUND MODEL_NOT_FOUND with models that there are in metadata `known`;
  // PERMISSION_DENIED RESOURCE_FORBIDDEN for a key that has a list of routes without `models`;
  // RESOURCE_EXHAUSTED QUEUE_FULL.
  http::Task<absl::StatusOr<std::shared_ptr<const ResolvedRoute>>> RouteTo(
      const Caller& caller, const std::string& project, const std::string& model);

  // Waits for look-ups that are under way; none may be begun afterwards.
  void Stop();

 private:
  struct Pool;
  http::Task<absl::StatusOr<std::string>> LookUp(std::string project, std::string model);

  LocalModels& models_;
  Catalog& catalog_;
  const ResolverOptions options_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace crossover::router
