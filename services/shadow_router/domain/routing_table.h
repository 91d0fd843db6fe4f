// The routes as the data plane uses them: everything resolved, immutable, swapped as a whole when
// configuration changes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/shadow_router/domain/assignment.h"
#include "services/shadow_router/domain/catalog.h"
#include "services/shadow_router/domain/chat_request.h"
#include "services/shadow_router/domain/experiment.h"
#include "services/shadow_router/domain/pair.h"
#include "services/shadow_router/domain/route.h"
#include "services/shadow_router/domain/upstream.h"

namespace crossover::router {

// A variant that can be called.
struct ResolvedVariant {
  std::string name;
  System system;
  std::string digest;  // SystemDigest
  Target target;
  std::string prompt_digest;  // Empty if the system has no prompt.
  std::shared_ptr<const prompt::PromptSpec> prompt;
};

// How a request is meant: served to the client, or mirrored.
enum class Purpose { kServe, kMirror };

// The body that this variant's target gets. A mirrored request is never streamed, never stored
// (`store: false`) and carries no `stream_options`; a served one asks for usage in the stream.
// INVALID_ARGUMENT if the prompt can't be rendered with it.
absl::StatusOr<std::string> BodyFor(const ResolvedVariant& variant, const ChatRequest& request,
                                    Purpose purpose);

struct ResolvedRoute {
  Route route;
  absl::Status status;  // Not OK: why the route can't be served (its primary does not resolve).
  // What is missing although the route is served: its task or output contract can't be read, a
  // fallback or the candidate does not resolve.
  std::vector<absl::Status> problems;
  std::map<std::string, ResolvedVariant> variants;
  TaskInfo task;
  std::optional<Validator> validator;       // Of the task's output contract, if it has one.
  std::vector<ComparatorSpec> comparators;  // Never empty; the first decides.
  TrafficPlan plan;
  std::optional<Experiment> experiment;  // That bends the traffic.

  const ResolvedVariant* Find(const std::string& name) const;
  // Of pairs made now; also what decides whether a new comparison has to be opened.
  Provenance CurrentProvenance() const;
};

inline constexpr std::string_view kDefaultProject = "projects/default";

class RoutingTable {
 public:
  using Routes = std::map<std::string, std::shared_ptr<const ResolvedRoute>, std::less<>>;

  void Add(std::shared_ptr<const ResolvedRoute> route);

  // The route of this project that a request's `model` names: by its slug or by its whole resource
  // name. nullptr if there is none.
  std::shared_ptr<const ResolvedRoute> Find(std::string_view model,
                                            std::string_view project = kDefaultProject) const;
  // Slugs of a project's routes.
  std::vector<std::string> Names(std::string_view project = kDefaultProject) const;
  const Routes& routes() const { return routes_; }

 private:
  Routes routes_;  // By resource name: two projects may call their routes the same.
};

// The table in force. Thread-safe; a request keeps the table it started with.
class RoutingTableHolder {
 public:
  std::shared_ptr<const RoutingTable> Get() const {
    absl::ReaderMutexLock lock(&mutex_);
    return table_;
  }
  void Set(std::shared_ptr<const RoutingTable> table) {
    absl::MutexLock lock(&mutex_);
    table_ = std::move(table);
  }

 private:
  mutable absl::Mutex mutex_;
  std::shared_ptr<const RoutingTable> table_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<RoutingTable>();
};

struct ResolverOptions {
  std::string model_server_url = "http://127.0.0.1:8090/v1";  // Base URL of our model server.
  std::string model_server_key = {};  // Secret; empty: no Authorization header.
  absl::Duration default_timeout = absl::Seconds(60);
};

// Resolves one route against the catalogue. Never fails as a whole: variants that don't resolve are
// left out, and the route's status says why it can't be served if its primary is among them.
std::shared_ptr<const ResolvedRoute> ResolveRoute(const Route& route,
                                                  const std::optional<Experiment>& experiment,
                                                  Catalog& catalog, const ResolverOptions& options);

// Comparators of an experiment: its own, else the task's, else what fits the output contract: JSON
// fields for a schema, normalised text for the rest.
std::vector<ComparatorSpec> ComparatorsFor(const std::optional<Experiment>& experiment,
                                           const TaskInfo& task);

}  // namespace crossover::router
