#include "services/shadow_router/edge/model_routes.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/context/request_context.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

constexpr int kLookUpThreads = 2;
constexpr int kMaxLookUps = 256;
constexpr size_t kNamedModels = 8;  // in one message

// The error with the names of models that there are.
absl::Status WithKnown(const absl::Status& status,
                       const absl::StatusOr<std::vector<LocalModelInfo>>& models) {
  if (!models.ok() || models->empty()) return status;
  std::vector<std::string> names;
  for (size_t i = 0; i < models->size() && i < kNamedModels; ++i) names.push_back((*models)[i].id);
  if (models->size() > names.size())
    names.push_back(absl::StrCat(models->size() - names.size(), " more (GET /v1/models)"));
  ErrorDetail detail = DetailOf(status);
  detail.metadata["known"] = absl::StrJoin(names, ", ");
  return Error(status.code(), ToStd(status.message()), std::move(detail));
}

}  // namespace

struct ModelRoutes::Pool {
  boost::asio::thread_pool threads{kLookUpThreads};
  std::atomic<int> waiting = 0;
};

ModelRoutes::ModelRoutes(LocalModels& models, Catalog& catalog, ResolverOptions options)
    : models_(models),
      catalog_(catalog),
      options_(std::move(options)),
      pool_(std::make_unique<Pool>()) {}

ModelRoutes::~ModelRoutes() { Stop(); }

void ModelRoutes::Stop() { pool_->threads.join(); }

http::Task<absl::StatusOr<std::string>> ModelRoutes::LookUp(std::string project,
                                                            std::string model) {
  RequestContext context;
  context.project = project;
  absl::StatusOr<std::string> target;
  {
    // Not over a suspension: the context belongs to the thread.
    const ScopedContext scope(std::move(context));
    target = models_.Find(project, model);
    if (HasReason(target.status(), "MODEL_NOT_FOUND"))
      target = WithKnown(target.status(), models_.List(project));
  }
  --pool_->waiting;
  co_return target;
}

http::Task<absl::StatusOr<std::shared_ptr<const ResolvedRoute>>> ModelRoutes::RouteTo(
    const Caller& caller, const std::string& project, const std::string& model) {
  Route route{.name = absl::StrCat(project, "/routes/", kModelRoute), .primary = "model"};
  if (!MayUseRoute(caller, route.name)) {
    co_return Error(absl::StatusCode::kPermissionDenied,
                    absl::StrCat(caller.name, " may not call models by their own name"),
                    {.reason = "RESOURCE_FORBIDDEN",
                     .metadata = {},
                     .violations = {{"model", "is not among the key's routes"}}});
  }
  if (pool_->waiting.fetch_add(1) >= kMaxLookUps) {
    --pool_->waiting;
    co_return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                    "too many models are being looked up; try again");
  }
  absl::StatusOr<std::string> target = co_await boost::asio::co_spawn(
      pool_->threads, LookUp(project, model), boost::asio::use_awaitable);
  if (!target.ok()) co_return target.status();
  System& system = route.variants["model"];
  const bool tuned = absl::StartsWith(model, "ft:");
  system.model.kind = tuned ? ModelRef::Kind::kAdapter : ModelRef::Kind::kBaseModel;
  system.model.model = *std::move(target);
  co_return ResolveRoute(route, std::nullopt, catalog_, options_);
}

}  // namespace crossover::router
