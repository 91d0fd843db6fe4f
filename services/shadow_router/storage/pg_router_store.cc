// Routes, experiments and their transitions. Pairs, ledger and feedback are in pg_pairs.cc.
#include "services/shadow_router/storage/pg_router_store.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/json/digest.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/record_json.h"
#include "services/shadow_router/storage/embedded_sql.h"
#include "services/shadow_router/storage/pg_rows.h"

namespace crossover::router {
namespace {

// What a request_id made before: the name; empty if nothing. INVALID_ARGUMENT if it was used for
// something else.
absl::StatusOr<std::string> MadeBefore(pqxx::transaction_base& txn, const std::string& project,
                                       const std::string& request_id, const std::string& payload) {
  if (request_id.empty()) return "";
  const pqxx::result rows = txn.exec_params(sql::kFindRequest, project, request_id);
  if (rows.empty()) return "";
  if (rows[0][1].c_str() != payload) {
    return RequestIdReused(request_id);
  }
  return std::string(rows[0][0].c_str());
}

absl::StatusOr<Route> ReadRoute(pqxx::transaction_base& txn, const std::string& name) {
  const pqxx::result rows = txn.exec_params(sql::kGetRoute, name);
  if (rows.empty()) return NotFound(name);
  return RouteOf(rows[0]);
}

absl::StatusOr<Experiment> ReadExperiment(pqxx::transaction_base& txn, const std::string& name) {
  const pqxx::result rows = txn.exec_params(sql::kGetExperiment, name);
  if (rows.empty()) return NotFound(name);
  return ExperimentOf(rows[0]);
}

absl::Status Exists(const absl::Status& status, const std::string& name) {
  if (!absl::IsAlreadyExists(status)) return status;
  return Error(absl::StatusCode::kAlreadyExists, "RESOURCE_EXISTS",
               absl::StrCat(name, " exists already"));
}

std::string TimeOrEmpty(absl::Time time) {
  return time == absl::InfinitePast() ? "" : pg::ToTimestamp(time);
}

// Drops the item beyond the page and makes the token of the last one that stays.
template <typename T>
void CutPage(const Page& page, Listed<T>& listed) {
  if (listed.items.size() <= static_cast<size_t>(page.size)) return;
  listed.items.pop_back();
  listed.next_token = listed.items.back().name;
}

}  // namespace

absl::StatusOr<Route> PgRouterStore::CreateRoute(const Route& route, const std::string& request_id,
                                                 absl::Time now) {
  const std::string project = ProjectOf(route.name);
  const std::string settings = TextOf(SettingsToJson(route));
  const std::string payload = DigestOf(route.name + settings);
  absl::StatusOr<Route> made = pg::Transact(
      pool_, {.name = "create_route"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<Route> {
        ASSIGN_OR_RETURN(const std::string before, MadeBefore(txn, project, request_id, payload));
        if (!before.empty()) return ReadRoute(txn, before);
        txn.exec_params(sql::kInsertRoute, route.name, project, settings, pg::ToTimestamp(now));
        if (!request_id.empty())
          txn.exec_params(sql::kInsertRequest, project, request_id, route.name, payload);
        txn.exec(sql::kBumpRoutingVersion);
        return ReadRoute(txn, route.name);
      });
  if (!made.ok()) return Exists(made.status(), route.name);
  return made;
}

absl::StatusOr<Route> PgRouterStore::GetRoute(const std::string& name) {
  return pg::Transact(pool_, {.name = "get_route", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return ReadRoute(txn, name); });
}

absl::StatusOr<Listed<Route>> PgRouterStore::ListRoutes(const std::string& project,
                                                        const Page& page) {
  return pg::Transact(pool_, {.name = "list_routes", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Listed<Route>> {
                        Listed<Route> listed;
                        for (const pqxx::row& row : txn.exec_params(sql::kListRoutes, project,
                                                                    page.token, page.size + 1)) {
                          ASSIGN_OR_RETURN(Route route, RouteOf(row));
                          listed.items.push_back(std::move(route));
                        }
                        CutPage(page, listed);
                        return listed;
                      });
}

absl::StatusOr<Route> PgRouterStore::UpdateRoute(const Route& route, absl::Time now) {
  return pg::Transact(
      pool_, {.name = "update_route"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<Route> {
        const pqxx::result rows =
            txn.exec_params(sql::kUpdateRoute, route.name, TextOf(SettingsToJson(route)),
                            pg::ToTimestamp(now), RevisionOf(route.etag));
        if (rows.empty()) {
          RETURN_IF_ERROR(ReadRoute(txn, route.name).status());
          return EtagMismatch(route.name);
        }
        txn.exec(sql::kBumpRoutingVersion);
        return RouteOf(rows[0]);
      });
}

absl::Status PgRouterStore::DeleteRoute(const std::string& name) {
  return pg::Transact(
      pool_, {.name = "delete_route"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        if (txn.exec_params(sql::kLockRoute, name).empty()) return NotFound(name);
        const pqxx::result active = txn.exec_params(sql::kActiveExperimentOfRoute, name);
        if (!active.empty()) {
          return Error(
              absl::StatusCode::kFailedPrecondition,
              absl::StrCat(name, " is moved by ", active[0][0].c_str(), "; abort that first"),
              {.reason = "RESOURCE_IN_USE",
               .metadata = {{"referrer", active[0][0].c_str()}},
               .violations = {}});
        }
        txn.exec_params(sql::kDeleteRoute, name);
        txn.exec(sql::kBumpRoutingVersion);
        return absl::OkStatus();
      });
}

absl::StatusOr<std::vector<RouterStore::RouteWithExperiment>> PgRouterStore::LoadRouting() {
  using All = std::vector<RouteWithExperiment>;
  return pg::Transact(
      pool_,
      {.name = "load_routing", .isolation = pg::Isolation::kRepeatableRead, .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<All> {
        std::map<std::string, Experiment> experiments;
        for (const pqxx::row& row : txn.exec(sql::kRunningExperiments)) {
          ASSIGN_OR_RETURN(Experiment experiment, ExperimentOf(row));
          experiments[experiment.name] = std::move(experiment);
        }
        All all;
        for (const pqxx::row& row : txn.exec(sql::kAllRoutes)) {
          ASSIGN_OR_RETURN(Route route, RouteOf(row));
          RouteWithExperiment one{.route = std::move(route)};
          const auto it = experiments.find(one.route.experiment);
          if (it != experiments.end()) one.experiment = it->second;
          all.push_back(std::move(one));
        }
        return all;
      });
}

absl::StatusOr<int64_t> PgRouterStore::RoutingVersion() {
  return pg::Transact(pool_, {.name = "routing_version", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<int64_t> {
                        return txn.exec1(sql::kRoutingVersion)[0].as<int64_t>();
                      });
}

absl::StatusOr<Experiment> PgRouterStore::CreateExperiment(const Experiment& experiment,
                                                           const std::string& request_id,
                                                           absl::Time now) {
  const std::string project = ProjectOf(experiment.name);
  const std::string settings = TextOf(SettingsToJson(experiment));
  const std::string payload = DigestOf(experiment.route + settings);
  absl::StatusOr<Experiment> made = pg::Transact(
      pool_, {.name = "create_experiment"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Experiment> {
        ASSIGN_OR_RETURN(const std::string before, MadeBefore(txn, project, request_id, payload));
        if (!before.empty()) return ReadExperiment(txn, before);
        RETURN_IF_ERROR(ReadRoute(txn, experiment.route).status());
        txn.exec_params(sql::kInsertExperiment, experiment.name, project, experiment.route,
                        settings, pg::ToTimestamp(now));
        if (!request_id.empty())
          txn.exec_params(sql::kInsertRequest, project, request_id, experiment.name, payload);
        return ReadExperiment(txn, experiment.name);
      });
  if (!made.ok()) return Exists(made.status(), experiment.name);
  return made;
}

absl::StatusOr<Experiment> PgRouterStore::GetExperiment(const std::string& name) {
  return pg::Transact(pool_, {.name = "get_experiment", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return ReadExperiment(txn, name); });
}

absl::StatusOr<Listed<Experiment>> PgRouterStore::ListExperiments(const std::string& project,
                                                                  const std::string& route,
                                                                  const Page& page) {
  return pg::Transact(
      pool_, {.name = "list_experiments", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Listed<Experiment>> {
        Listed<Experiment> listed;
        for (const pqxx::row& row :
             txn.exec_params(sql::kListExperiments, project, route, page.token, page.size + 1)) {
          ASSIGN_OR_RETURN(Experiment experiment, ExperimentOf(row));
          listed.items.push_back(std::move(experiment));
        }
        CutPage(page, listed);
        return listed;
      });
}

absl::StatusOr<std::vector<Experiment>> PgRouterStore::RunningExperiments() {
  return pg::Transact(pool_, {.name = "running_experiments", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Experiment>> {
                        std::vector<Experiment> all;
                        for (const pqxx::row& row : txn.exec(sql::kRunningExperiments)) {
                          ASSIGN_OR_RETURN(Experiment experiment, ExperimentOf(row));
                          all.push_back(std::move(experiment));
                        }
                        return all;
                      });
}

absl::Status PgRouterStore::DeleteExperiment(const std::string& name, const std::string& etag) {
  return pg::Transact(
      pool_, {.name = "delete_experiment"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        if (txn.exec_params(sql::kDeleteExperiment, name, RevisionOf(etag)).affected_rows() == 1)
          return absl::OkStatus();
        ASSIGN_OR_RETURN(const Experiment experiment, ReadExperiment(txn, name));
        return experiment.state == ExperimentState::kDraft ? EtagMismatch(name)
                                                           : NotADraft(experiment);
      });
}

absl::Status PgRouterStore::ApplyTransition(const Experiment& experiment,
                                            const Transition& transition,
                                            const std::string& primary) {
  return pg::Transact(
      pool_, {.name = "apply_transition"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        const pqxx::result route = txn.exec_params(sql::kLockRoute, experiment.route);
        if (route.empty()) return NotFound(experiment.route);
        const bool moves_route = MovesRoute(experiment, transition);
        if (moves_route && !route[0][0].is_null() && route[0][0].c_str() != experiment.name) {
          return Error(
              absl::StatusCode::kFailedPrecondition,
              absl::StrCat(experiment.route, " is moved by ", route[0][0].c_str(), " already"),
              {.reason = "EXPERIMENT_ACTIVE",
               .metadata = {{"experiment", route[0][0].c_str()}},
               .violations = {}});
        }
        const std::string time = pg::ToTimestamp(transition.time);
        const pqxx::result moved = txn.exec_params(
            sql::kMoveExperiment, experiment.name, TextOf(SettingsToJson(experiment)),
            std::string(ToString(experiment.state)), std::string(ToString(experiment.paused_from)),
            experiment.state_reason, experiment.step, time, TimeOrEmpty(experiment.start_time),
            TimeOrEmpty(experiment.finish_time), experiment.comparison, experiment.provenance,
            transition.sequence, RevisionOf(experiment.etag));
        if (moved.affected_rows() == 0) {
          RETURN_IF_ERROR(ReadExperiment(txn, experiment.name).status());
          return EtagMismatch(experiment.name);
        }
        txn.exec_params(
            sql::kInsertTransition, experiment.name, transition.sequence,
            std::string(ToString(transition.from)), std::string(ToString(transition.to)),
            transition.from_step, transition.to_step, transition.actor, time,
            transition.statistics.empty() ? "{}" : transition.statistics, transition.words);
        if (moves_route) {
          txn.exec_params(sql::kMoveRoute, experiment.route,
                          IsTerminal(experiment.state) ? "" : experiment.name, primary, time);
        }
        txn.exec(sql::kBumpRoutingVersion);
        return absl::OkStatus();
      });
}

absl::StatusOr<Experiment> PgRouterStore::UpdateExperiment(const Experiment& experiment,
                                                           absl::Time now) {
  return pg::Transact(pool_, {.name = "update_experiment"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Experiment> {
                        const pqxx::result rows = txn.exec_params(
                            sql::kUpdateExperiment, experiment.name,
                            TextOf(SettingsToJson(experiment)), experiment.comparison,
                            experiment.provenance, pg::ToTimestamp(now), experiment.transitions,
                            RevisionOf(experiment.etag));
                        if (rows.empty()) {
                          RETURN_IF_ERROR(ReadExperiment(txn, experiment.name).status());
                          return EtagMismatch(experiment.name);
                        }
                        txn.exec(sql::kBumpRoutingVersion);
                        return ExperimentOf(rows[0]);
                      });
}

absl::StatusOr<std::vector<Transition>> PgRouterStore::ListTransitions(
    const std::string& experiment) {
  return pg::Transact(
      pool_, {.name = "list_transitions", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Transition>> {
        std::vector<Transition> all;
        for (const pqxx::row& row : txn.exec_params(sql::kListTransitions, experiment)) {
          ASSIGN_OR_RETURN(Transition transition, TransitionOf(row, experiment));
          all.push_back(std::move(transition));
        }
        return all;
      });
}

}  // namespace crossover::router
