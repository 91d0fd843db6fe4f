#include "services/shadow_router/domain/fake_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/fake_store_answers.h"
#include "services/shadow_router/domain/record_json.h"

namespace crossover::router {
namespace {

using fake_store::NotFound;
using fake_store::PageOf;

absl::Status EtagMismatch(const std::string& name) {
  return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
               absl::StrCat(name, " has changed since it was read; read it again and repeat"));
}

std::string EtagOf(int64_t version) { return absl::StrCat("v", version); }

}  // namespace

void FakeRouterStore::Fail(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  failure_ = std::move(status);
}

void FakeRouterStore::BeforeNextTransition(std::function<void()> hook) {
  absl::MutexLock lock(&mutex_);
  before_transition_ = std::move(hook);
}

void FakeRouterStore::Refuse(std::string id) {
  absl::MutexLock lock(&mutex_);
  refused_ = std::move(id);
}

absl::StatusOr<Route> FakeRouterStore::CreateRoute(const Route& route,
                                                   const std::string& request_id, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const std::string payload = route.name + SettingsToJson(route).dump();
  const std::string request = absl::StrCat(ProjectOf(route.name), "/", request_id);
  if (const auto it = requests_.find(request); !request_id.empty() && it != requests_.end()) {
    if (it->second.second != payload) return RequestIdReused(request_id);
    return routes_.at(it->second.first);
  }
  if (routes_.contains(route.name)) {
    return Error(absl::StatusCode::kAlreadyExists, "RESOURCE_EXISTS",
                 absl::StrCat(route.name, " exists already"));
  }
  Route stored = route;
  stored.create_time = stored.update_time = now;
  stored.config_version = 1;
  stored.experiment.clear();
  stored.etag = EtagOf(1);
  routes_[route.name] = stored;
  if (!request_id.empty()) requests_[request] = {route.name, payload};
  ++version_;
  return stored;
}

absl::StatusOr<Route> FakeRouterStore::GetRoute(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = routes_.find(name);
  if (it == routes_.end()) return NotFound(name);
  return it->second;
}

absl::StatusOr<Listed<Route>> FakeRouterStore::ListRoutes(const std::string& project,
                                                          const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<Route> all;
  for (const auto& [name, route] : routes_) {
    if (ProjectOf(name) == project) all.push_back(route);
  }
  return PageOf(all, page);
}

absl::StatusOr<Route> FakeRouterStore::UpdateRoute(const Route& route, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = routes_.find(route.name);
  if (it == routes_.end()) return NotFound(route.name);
  if (!route.etag.empty() && route.etag != it->second.etag) return EtagMismatch(route.name);
  Route stored = route;
  stored.experiment = it->second.experiment;
  stored.create_time = it->second.create_time;
  stored.update_time = now;
  stored.config_version = it->second.config_version + 1;
  stored.etag = EtagOf(stored.config_version);
  it->second = stored;
  ++version_;
  return stored;
}

absl::Status FakeRouterStore::DeleteRoute(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = routes_.find(name);
  if (it == routes_.end()) return NotFound(name);
  for (const auto& [other, experiment] : experiments_) {
    if (experiment.route == name && !IsTerminal(experiment.state) &&
        experiment.state != ExperimentState::kDraft) {
      return Error(absl::StatusCode::kFailedPrecondition, "RESOURCE_IN_USE",
                   absl::StrCat(name, " is moved by ", other, "; abort that first"));
    }
  }
  routes_.erase(it);
  ++version_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RouterStore::RouteWithExperiment>> FakeRouterStore::LoadRouting() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<RouteWithExperiment> all;
  for (const auto& [name, route] : routes_) {
    RouteWithExperiment one{.route = route};
    if (const auto it = experiments_.find(route.experiment); it != experiments_.end())
      one.experiment = it->second;
    all.push_back(std::move(one));
  }
  return all;
}

absl::StatusOr<int64_t> FakeRouterStore::RoutingVersion() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  return version_;
}

absl::StatusOr<Experiment> FakeRouterStore::CreateExperiment(const Experiment& experiment,
                                                             const std::string& request_id,
                                                             absl::Time now) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const std::string payload = experiment.route + SettingsToJson(experiment).dump();
  const std::string request = absl::StrCat(ProjectOf(experiment.name), "/", request_id);
  if (const auto it = requests_.find(request); !request_id.empty() && it != requests_.end()) {
    if (it->second.second != payload) return RequestIdReused(request_id);
    return experiments_.at(it->second.first);
  }
  if (!routes_.contains(experiment.route)) return NotFound(experiment.route);
  if (experiments_.contains(experiment.name)) {
    return Error(absl::StatusCode::kAlreadyExists, "RESOURCE_EXISTS",
                 absl::StrCat(experiment.name, " exists already"));
  }
  Experiment stored = experiment;
  stored.create_time = stored.update_time = stored.state_time = now;
  stored.etag = EtagOf(1);
  experiments_[experiment.name] = stored;
  if (!request_id.empty()) requests_[request] = {experiment.name, payload};
  return stored;
}

absl::StatusOr<Experiment> FakeRouterStore::GetExperiment(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = experiments_.find(name);
  if (it == experiments_.end()) return NotFound(name);
  return it->second;
}

absl::StatusOr<Listed<Experiment>> FakeRouterStore::ListExperiments(const std::string& project,
                                                                    const std::string& route,
                                                                    const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<Experiment> all;
  for (const auto& [name, experiment] : experiments_) {
    if (ProjectOf(name) == project && (route.empty() || experiment.route == route))
      all.push_back(experiment);
  }
  return PageOf(all, page);
}

absl::StatusOr<std::vector<Experiment>> FakeRouterStore::RunningExperiments() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<Experiment> all;
  for (const auto& [name, experiment] : experiments_) {
    if (IsRunning(experiment.state)) all.push_back(experiment);
  }
  return all;
}

absl::Status FakeRouterStore::DeleteExperiment(const std::string& name, const std::string& etag) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = experiments_.find(name);
  if (it == experiments_.end()) return NotFound(name);
  if (it->second.state != ExperimentState::kDraft) return NotADraft(it->second);
  if (!etag.empty() && etag != it->second.etag) return EtagMismatch(name);
  experiments_.erase(it);
  return absl::OkStatus();
}

absl::Status FakeRouterStore::ApplyTransition(const Experiment& experiment,
                                              const Transition& transition,
                                              const std::string& primary) {
  std::function<void()> hook;
  {
    absl::MutexLock lock(&mutex_);
    hook = std::exchange(before_transition_, nullptr);
  }
  if (hook) hook();
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = experiments_.find(experiment.name);
  if (it == experiments_.end()) return NotFound(experiment.name);
  if (it->second.transitions != transition.sequence - 1) return EtagMismatch(experiment.name);
  if (!experiment.etag.empty() && experiment.etag != it->second.etag)
    return EtagMismatch(experiment.name);
  const auto route = routes_.find(experiment.route);
  if (route == routes_.end()) return NotFound(experiment.route);
  const bool moves_route = MovesRoute(experiment, transition);
  if (moves_route && !route->second.experiment.empty() &&
      route->second.experiment != experiment.name) {
    return Error(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat(experiment.route, " is moved by ", route->second.experiment, " already"),
        {.reason = "EXPERIMENT_ACTIVE",
         .metadata = {{"experiment", route->second.experiment}},
         .violations = {}});
  }
  it->second = experiment;
  it->second.transitions = transition.sequence;
  it->second.update_time = transition.time;
  it->second.etag = absl::StrCat("t", transition.sequence);
  transitions_[experiment.name].push_back(transition);
  ++version_;
  if (!moves_route) return absl::OkStatus();
  route->second.experiment = IsTerminal(experiment.state) ? "" : experiment.name;
  if (!primary.empty()) route->second.primary = primary;
  route->second.update_time = transition.time;
  route->second.etag = EtagOf(++route->second.config_version);
  return absl::OkStatus();
}

absl::StatusOr<Experiment> FakeRouterStore::UpdateExperiment(const Experiment& experiment,
                                                             absl::Time now) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = experiments_.find(experiment.name);
  if (it == experiments_.end()) return NotFound(experiment.name);
  if (it->second.transitions != experiment.transitions) return EtagMismatch(experiment.name);
  if (!experiment.etag.empty() && experiment.etag != it->second.etag)
    return EtagMismatch(experiment.name);
  it->second = experiment;
  it->second.update_time = now;
  it->second.etag = absl::StrCat("t", experiment.transitions, ".", ++version_);
  return it->second;
}

absl::StatusOr<std::vector<Transition>> FakeRouterStore::ListTransitions(
    const std::string& experiment) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  return transitions_[experiment];
}

}  // namespace crossover::router
