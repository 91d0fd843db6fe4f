#include "services/shadow_router/transport/route_service.h"

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/list/resource_name.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/masks.h"
#include "services/shadow_router/transport/names.h"

namespace crossover::router {
namespace {

// Output-only fields and the name never come from a client.
const std::set<std::string>& Changeable() {
  static const auto* const fields = new std::set<std::string>{
      "labels", "task", "mode",      "variants", "primary",    "fallbacks",
      "hybrid", "sla",  "sticky_by", "salt",     "shadow_salt"};
  return *fields;
}

// An experiment moves the primary itself, and who is in the canary or the shadow may not change
// under it: its arms and clusters are built on that.
absl::Status CheckWhileMoved(const Route& stored, const Route& route) {
  if (stored.experiment.empty()) return absl::OkStatus();
  const char* field = route.primary != stored.primary           ? "primary"
                      : route.salt != stored.salt               ? "salt"
                      : route.shadow_salt != stored.shadow_salt ? "shadow_salt"
                      : route.sticky_by != stored.sticky_by     ? "sticky_by"
                                                                : nullptr;
  if (field == nullptr) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat(stored.experiment, " moves this route: '", field,
                            "' cannot change; roll it back or abort it first"),
               {.reason = "EXPERIMENT_ACTIVE",
                .metadata = {{"experiment", stored.experiment}},
                .violations = {{absl::StrCat("route.", field), "an experiment is active"}}});
}

}  // namespace

grpc::ServerUnaryReactor* RouteService::CreateRoute(grpc::CallbackServerContext* context,
                                                    const v1::CreateRouteRequest* request,
                                                    v1::Route* response) {
  return handler_.Unary(context, "CreateRoute", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
    RETURN_IF_ERROR(CheckRequestId(request->request_id()));
    RETURN_IF_ERROR(list::CheckSlug(request->route_id(), "route_id"));
    ASSIGN_OR_RETURN(Route route, FromProto(request->route()));
    route.name = absl::StrCat(request->parent(), "/routes/", request->route_id());
    // A salt that nobody chose follows the name: a repeated request makes the same route.
    if (route.salt.empty()) route.salt = absl::StrCat(route.name, "/canary");
    if (route.shadow_salt.empty()) route.shadow_salt = absl::StrCat(route.name, "/shadow");
    RETURN_IF_ERROR(Validate(route));
    RETURN_IF_ERROR(CheckReferences(route));
    if (request->validate_only()) {
      *response = ToProto(route);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Route made,
                     store_.CreateRoute(route, request->request_id(), clock_.Now()));
    RETURN_IF_ERROR(control_.Reload(/*force=*/true));
    *response = ToProto(made);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* RouteService::GetRoute(grpc::CallbackServerContext* context,
                                                 const v1::GetRouteRequest* request,
                                                 v1::Route* response) {
  return handler_.Unary(context, "GetRoute", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->name(), "projects/*/routes/*").status());
    ASSIGN_OR_RETURN(const Route route, store_.GetRoute(request->name()));
    *response = ToProto(route);
    if (!route.experiment.empty()) {
      ASSIGN_OR_RETURN(const Experiment experiment, store_.GetExperiment(route.experiment));
      response->set_candidate_weight(ToProto(experiment).weight());
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* RouteService::ListRoutes(grpc::CallbackServerContext* context,
                                                   const v1::ListRoutesRequest* request,
                                                   v1::ListRoutesResponse* response) {
  return handler_.Unary(context, "ListRoutes", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->parent(), "projects/*", "parent").status());
    ASSIGN_OR_RETURN(const list::Filter filter,
                     list::ParseFilter(request->filter(), {"task", "mode", "labels.*"}));
    const std::string query = absl::StrCat("routes ", request->parent(), " ", request->filter());
    ASSIGN_OR_RETURN(const int size, list::PageSize(request->page_size()));
    ASSIGN_OR_RETURN(const std::string after, list::ParsePageToken(request->page_token(), query));
    ASSIGN_OR_RETURN(const auto listed,
                     store_.ListRoutes(request->parent(), {.size = size, .token = after}));
    // Conditions thin out the store's pages, which may therefore be shorter than asked.
    for (const Route& route : listed.items) {
      v1::Route proto = ToProto(route);
      const bool matches =
          list::Matches(filter, [&](const std::string& field) -> std::optional<std::string> {
            if (field == "task") return route.task;
            if (field == "mode") return v1::Route::Mode_Name(proto.mode());
            const auto label = route.labels.find(field.substr(field.find('.') + 1));
            return label == route.labels.end() ? std::nullopt
                                               : std::optional<std::string>(label->second);
          });
      if (matches) *response->add_routes() = std::move(proto);
    }
    if (!listed.next_token.empty())
      response->set_next_page_token(list::MakePageToken(listed.next_token, query));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* RouteService::UpdateRoute(grpc::CallbackServerContext* context,
                                                    const v1::UpdateRouteRequest* request,
                                                    v1::Route* response) {
  return handler_.Unary(context, "UpdateRoute", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(
        ParseScoped(request->route().name(), "projects/*/routes/*", "route.name").status());
    ASSIGN_OR_RETURN(const Route stored, store_.GetRoute(request->route().name()));
    v1::Route merged = ToProto(stored);
    RETURN_IF_ERROR(ApplyMask(request->route(), request->update_mask(), Changeable(), merged));
    ASSIGN_OR_RETURN(Route route, FromProto(merged));
    route.name = stored.name;
    route.etag = request->route().etag().empty() ? stored.etag : request->route().etag();
    RETURN_IF_ERROR(CheckWhileMoved(stored, route));
    RETURN_IF_ERROR(Validate(route));
    RETURN_IF_ERROR(CheckReferences(route));
    ASSIGN_OR_RETURN(const Route updated, store_.UpdateRoute(route, clock_.Now()));
    RETURN_IF_ERROR(control_.Reload(/*force=*/true));
    *response = ToProto(updated);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* RouteService::DeleteRoute(grpc::CallbackServerContext* context,
                                                    const v1::DeleteRouteRequest* request,
                                                    google::protobuf::Empty*) {
  return handler_.Unary(context, "DeleteRoute", [=, this](const rpc::Call&) -> absl::Status {
    RETURN_IF_ERROR(ParseScoped(request->name(), "projects/*/routes/*").status());
    ASSIGN_OR_RETURN(const Route stored, store_.GetRoute(request->name()));
    if (!request->etag().empty() && request->etag() != stored.etag) {
      return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                   absl::StrCat(stored.name, " has changed since it was read"));
    }
    RETURN_IF_ERROR(store_.DeleteRoute(request->name()));
    return control_.Reload(/*force=*/true);
  });
}

}  // namespace crossover::router
