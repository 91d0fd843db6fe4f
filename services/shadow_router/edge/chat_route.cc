// Which route or model a request is for.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "services/shadow_router/edge/chat_call.h"
#include "services/shadow_router/edge/chat_handler.h"

namespace crossover::router {
namespace {

// That there is no such route, with the models that answer by their own names.
absl::Status WithModels(const absl::Status& no_route, const std::string& models) {
  if (models.empty()) return no_route;
  ErrorDetail detail = DetailOf(no_route);
  detail.metadata["models"] = models;
  return Error(no_route.code(),
               absl::StrCat(no_route.message(), "; models by their own names: ", models),
               std::move(detail));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ResolvedRoute>> ChatHandler::FindRoute(
    const std::string& model, const Caller& caller) const {
  const auto table = deps_.table.Get();
  const std::string& project = caller.project.empty() ? options_.project : caller.project;
  std::shared_ptr<const ResolvedRoute> route = table->Find(model, project);
  if (route == nullptr) {
    std::vector<std::string> names = table->Names(project);
    std::erase_if(names, [&](const std::string& name) {
      return !MayUseRoute(caller, absl::StrCat(project, "/routes/", name));
    });
    const std::string known = names.empty()
                                  ? "there are none yet"
                                  : absl::StrCat("there are: ", absl::StrJoin(names, ", "));
    return Error(absl::StatusCode::kNotFound,
                 absl::StrCat("there is no route '", model, "'; ", known),
                 {.reason = "ROUTE_NOT_FOUND",
                  .metadata = {{"known", absl::StrJoin(names, ",")}},
                  .violations = {{"model", "must be the name of a route"}}});
  }
  if (!MayUseRoute(caller, route->route.name)) {
    return Error(absl::StatusCode::kPermissionDenied,
                 absl::StrCat(caller.name, " may not use route '", model, "'"),
                 {.reason = "RESOURCE_FORBIDDEN",
                  .metadata = {},
                  .violations = {{"model", "is not among the key's routes"}}});
  }
  if (!route->status.ok()) {
    return Error(absl::StatusCode::kUnavailable, "UPSTREAMS_FAILED",
                 absl::StrCat("route '", model, "' cannot be served: ", route->status.message()));
  }
  return route;
}

http::Task<absl::Status> ChatHandler::SetRoute(Call& call) {
  absl::StatusOr<std::shared_ptr<const ResolvedRoute>> route =
      FindRoute(call.request.model, call.caller);
  if (deps_.models != nullptr && HasReason(route.status(), "ROUTE_NOT_FOUND")) {
    const std::string& project =
        call.caller.project.empty() ? options_.project : call.caller.project;
    absl::StatusOr<std::shared_ptr<const ResolvedRoute>> model =
        co_await deps_.models->RouteTo(call.caller, project, call.request.model);
    // Whoever meant a route is told which there are, and of the models too.
    if (HasReason(model.status(), "MODEL_NOT_FOUND")) {
      route = WithModels(route.status(), DetailOf(model.status()).metadata["known"]);
    } else {
      route = std::move(model);
    }
  }
  if (!route.ok()) co_return route.status();
  call.route = *std::move(route);
  co_return absl::OkStatus();
}

}  // namespace crossover::router
