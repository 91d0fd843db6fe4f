#include "services/shadow_router/domain/fake_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/facts.h"
#include "services/shadow_router/domain/record_json.h"

namespace crossover::router {
namespace {

absl::Status NotFound(const std::string& name) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("there is no ", name));
}

absl::Status EtagMismatch(const std::string& name) {
  return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
               absl::StrCat(name, " has changed since it was read; read it again and repeat"));
}

absl::Status RequestIdReused(const std::string& request_id) {
  return Error(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
               absl::StrCat("request_id ", request_id, " was used for another request"));
}

absl::Status RefusedByConstraint(const std::string& id) {
  return Error(absl::StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED",
               absl::StrCat(id, " is refused"));
}

std::string EtagOf(int64_t version) { return absl::StrCat("v", version); }

// A page of `all`, which is in the order of the list; tokens are positions.
template <typename T>
Listed<T> PageOf(const std::vector<T>& all, const Page& page) {
  size_t begin = 0;
  if (!page.token.empty() && !absl::SimpleAtoi(page.token, &begin)) begin = all.size();
  Listed<T> result;
  for (size_t i = begin; i < all.size() && result.items.size() < static_cast<size_t>(page.size);
       ++i) {
    result.items.push_back(all[i]);
  }
  const size_t end = begin + result.items.size();
  if (end < all.size()) result.next_token = absl::StrCat(end);
  return result;
}

bool RightOutput(const Feedback& feedback) {
  return feedback.name == "label" || feedback.name == "demonstration";
}

}  // namespace

#define RETURN_IF_BROKEN() \
  if (!failure_.ok()) return failure_

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
  RETURN_IF_BROKEN();
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
  RETURN_IF_BROKEN();
  const auto it = routes_.find(name);
  if (it == routes_.end()) return NotFound(name);
  return it->second;
}

absl::StatusOr<Listed<Route>> FakeRouterStore::ListRoutes(const std::string& project,
                                                          const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<Route> all;
  for (const auto& [name, route] : routes_) {
    if (ProjectOf(name) == project) all.push_back(route);
  }
  return PageOf(all, page);
}

absl::StatusOr<Route> FakeRouterStore::UpdateRoute(const Route& route, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
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
  RETURN_IF_BROKEN();
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
  RETURN_IF_BROKEN();
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
  RETURN_IF_BROKEN();
  return version_;
}

absl::StatusOr<Experiment> FakeRouterStore::CreateExperiment(const Experiment& experiment,
                                                             const std::string& request_id,
                                                             absl::Time now) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
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
  RETURN_IF_BROKEN();
  const auto it = experiments_.find(name);
  if (it == experiments_.end()) return NotFound(name);
  return it->second;
}

absl::StatusOr<Listed<Experiment>> FakeRouterStore::ListExperiments(const std::string& project,
                                                                    const std::string& route,
                                                                    const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<Experiment> all;
  for (const auto& [name, experiment] : experiments_) {
    if (ProjectOf(name) == project && (route.empty() || experiment.route == route))
      all.push_back(experiment);
  }
  return PageOf(all, page);
}

absl::StatusOr<std::vector<Experiment>> FakeRouterStore::RunningExperiments() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<Experiment> all;
  for (const auto& [name, experiment] : experiments_) {
    if (IsRunning(experiment.state)) all.push_back(experiment);
  }
  return all;
}

absl::Status FakeRouterStore::DeleteExperiment(const std::string& name, const std::string& etag) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
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
  RETURN_IF_BROKEN();
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
  RETURN_IF_BROKEN();
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
  RETURN_IF_BROKEN();
  return transitions_[experiment];
}

void FakeRouterStore::InsertGrade(const std::string& pair, const Grade& grade) {
  for (const StoredGrade& old : grades_) {
    if (old.pair == pair && old.grade.source == grade.source &&
        old.grade.grader_version == grade.grader_version)
      return;
  }
  grades_.push_back({static_cast<int64_t>(grades_.size()) + 1, pair, grade});
}

void FakeRouterStore::InsertPair(const Pair& pair) {
  const bool known =
      std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& old) { return old.id == pair.id; });
  if (known) return;
  pairs_.push_back(pair);
  for (const Grade& grade : pair.grades) InsertGrade(pair.id, grade);
}

absl::Status FakeRouterStore::Flush(const Batch& batch) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  for (const auto& [key, counts] : batch.ledger) {
    if (!experiments_.contains(key.experiment)) {
      return Error(absl::StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED",
                   absl::StrCat("there is no ", key.experiment));
    }
  }
  for (const Pair& pair : batch.pairs) {
    if (pair.id == refused_) return RefusedByConstraint(pair.id);
  }
  for (const auto& [key, counts] : batch.ledger)
    ledger_[{batch.instance, batch.incarnation, key}] = counts;
  for (const auto& [key, counts] : batch.arms)
    arms_[{batch.instance, batch.incarnation, key}] = counts;
  for (const Pair& pair : batch.pairs) InsertPair(pair);
  for (const Recording& recording : batch.recordings) {
    const bool known = std::any_of(recordings_.begin(), recordings_.end(),
                                   [&](const Recording& old) { return old.id == recording.id; });
    if (!known) recordings_.push_back(recording);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> FakeRouterStore::CloseOldIncarnations(const std::string& instance,
                                                              const std::string& incarnation) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  int64_t crashed = 0;
  for (auto& [key, counts] : ledger_) {
    if (std::get<0>(key) != instance || std::get<1>(key) == incarnation || counts.in_flight == 0)
      continue;
    crashed += counts.in_flight;
    counts.dropped[std::string(ToString(DropReason::kCrashed))] += counts.in_flight;
    counts.in_flight = 0;
  }
  return crashed;
}

absl::StatusOr<Pair> FakeRouterStore::GetPair(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  for (const Pair& pair : pairs_) {
    if (pair.id != id) continue;
    Pair result = pair;
    result.grades.clear();
    for (const StoredGrade& grade : grades_) {
      if (grade.pair == id) result.grades.push_back(grade.grade);
    }
    return result;
  }
  return NotFound(id);
}

absl::StatusOr<Listed<Pair>> FakeRouterStore::ListPairs(const PairFilter& filter,
                                                        const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<Pair> all;
  for (auto it = pairs_.rbegin(); it != pairs_.rend(); ++it) {
    if (it->experiment != filter.experiment) continue;
    if (filter.comparison && it->comparison != *filter.comparison) continue;
    if (filter.only_valid && it->validity != Validity::kValid) continue;
    if (filter.agree && FactsOf(*it, 0).agree != *filter.agree) continue;
    Pair pair = *it;
    pair.grades.clear();
    for (const StoredGrade& grade : grades_) {
      if (grade.pair == pair.id) pair.grades.push_back(grade.grade);
    }
    all.push_back(std::move(pair));
  }
  return PageOf(all, page);
}

absl::StatusOr<std::vector<LedgerRow>> FakeRouterStore::ListLedger(const std::string& experiment,
                                                                   std::optional<int> comparison) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<LedgerRow> rows;
  for (const auto& [key, counts] : ledger_) {
    const auto& [instance, incarnation, ledger_key] = key;
    if (ledger_key.experiment != experiment || (comparison && ledger_key.comparison != *comparison))
      continue;
    rows.push_back({instance, incarnation, ledger_key, counts});
  }
  return rows;
}

absl::StatusOr<LedgerCounts> FakeRouterStore::SumLedger(const std::string& experiment,
                                                        int comparison) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  LedgerCounts sum;
  for (const auto& [key, counts] : ledger_) {
    const LedgerKey& row = std::get<2>(key);
    if (row.experiment == experiment && row.comparison == comparison) sum.Add(counts);
  }
  return sum;
}

absl::StatusOr<std::map<int, ArmCounts>> FakeRouterStore::SumArms(const std::string& experiment,
                                                                  int comparison) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::map<int, ArmCounts> sums;
  for (const auto& [key, counts] : arms_) {
    const ArmKey& arm = std::get<2>(key);
    if (arm.experiment == experiment && arm.comparison == comparison) sums[arm.weight].Add(counts);
  }
  return sums;
}

absl::StatusOr<std::vector<PairFacts>> FakeRouterStore::PairFactsAfter(
    const std::string& experiment, int comparison, int64_t after, int limit) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<PairFacts> facts;
  for (size_t i = static_cast<size_t>(after);
       i < pairs_.size() && facts.size() < static_cast<size_t>(limit); ++i) {
    const Pair& pair = pairs_[i];
    if (pair.experiment != experiment || pair.comparison != comparison) continue;
    facts.push_back(FactsOf(pair, static_cast<int64_t>(i) + 1));
  }
  return facts;
}

absl::StatusOr<std::vector<GradeFacts>> FakeRouterStore::GradeFactsAfter(
    const std::string& experiment, int comparison, int64_t after, int limit) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::map<std::string, const Pair*> by_id;
  for (const Pair& pair : pairs_) {
    if (pair.experiment == experiment && pair.comparison == comparison) by_id[pair.id] = &pair;
  }
  std::vector<GradeFacts> facts;
  for (const StoredGrade& grade : grades_) {
    if (grade.sequence <= after || facts.size() >= static_cast<size_t>(limit)) continue;
    const auto it = by_id.find(grade.pair);
    if (it != by_id.end()) facts.push_back(FactsOf(*it->second, grade.grade, grade.sequence));
  }
  return facts;
}

absl::StatusOr<bool> FakeRouterStore::AddFeedback(const Feedback& feedback) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  if (feedback.id == refused_ && !refused_.empty()) return RefusedByConstraint(feedback.id);
  const bool has_pair = std::ranges::any_of(pairs_, [&](const Pair& pair) {
    return ProjectOf(pair.experiment) == feedback.project &&
           (pair.request_id == feedback.inference_id ||
            pair.completion_id == feedback.inference_id);
  });
  for (const Feedback& old : feedback_) {
    if (old.id != feedback.id || old.project != feedback.project) continue;
    Feedback same = feedback;
    same.time = old.time;
    if (same != old) return RequestIdReused(feedback.id);
    return has_pair;
  }
  feedback_.push_back(feedback);
  return has_pair;
}

const Pair* FakeRouterStore::PairOf(const std::string& inference_id,
                                    const std::string& experiment) const {
  for (const Pair& pair : pairs_) {
    if (pair.experiment == experiment &&
        (pair.request_id == inference_id || pair.completion_id == inference_id)) {
      return &pair;
    }
  }
  return nullptr;
}

absl::StatusOr<std::vector<FeedbackForPair>> FakeRouterStore::UngradedFeedback(
    const std::string& experiment, absl::Time, int limit) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<FeedbackForPair> result;
  for (const Feedback& feedback : feedback_) {
    if (!RightOutput(feedback) || feedback.project != ProjectOf(experiment) ||
        result.size() >= static_cast<size_t>(limit))
      continue;
    const Pair* pair = PairOf(feedback.inference_id, experiment);
    if (pair == nullptr) continue;
    if (!pair->Gradable()) continue;
    const bool graded = std::any_of(grades_.begin(), grades_.end(), [&](const StoredGrade& grade) {
      return grade.pair == pair->id && grade.grade.source == GradeSource::kLabel;
    });
    if (!graded) result.push_back({feedback, *pair});
  }
  return result;
}

absl::Status FakeRouterStore::AddGrade(const std::string& pair, const Grade& grade) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  const bool known =
      std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& one) { return one.id == pair; });
  if (!known) return NotFound(pair);
  InsertGrade(pair, grade);
  return absl::OkStatus();
}

absl::StatusOr<Listed<Feedback>> FakeRouterStore::ListFeedback(const std::string& inference_id,
                                                               const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<Feedback> all;
  for (const Feedback& feedback : feedback_) {
    if (feedback.inference_id == inference_id) all.push_back(feedback);
  }
  return PageOf(all, page);
}

absl::StatusOr<Listed<Recording>> FakeRouterStore::ListRecordings(const std::string& route,
                                                                  const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_BROKEN();
  std::vector<Recording> all;
  for (auto it = recordings_.rbegin(); it != recordings_.rend(); ++it) {
    if (route.empty() || it->route == route) all.push_back(*it);
  }
  return PageOf(all, page);
}

#undef RETURN_IF_BROKEN

}  // namespace crossover::router
