#include "services/shadow_router/module.h"

#include <functional>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "common/http/server.h"
#include "common/id/uuid7.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/control.h"
#include "services/shadow_router/domain/flusher.h"
#include "services/shadow_router/edge/openai_routes.h"
#include "services/shadow_router/storage/storage.h"
#include "services/shadow_router/transport/evaluation_records.h"
#include "services/shadow_router/transport/experiment_service.h"
#include "services/shadow_router/transport/registry_callers.h"
#include "services/shadow_router/transport/registry_catalog.h"
#include "services/shadow_router/transport/route_service.h"
#include "services/shadow_router/transport/traffic_service.h"
#include "services/shadow_router/tuning/scheduler_models.h"
#include "services/shadow_router/tuning/tuning_routes.h"
#include "services/shadow_router/upstream/http_upstream.h"

namespace crossover::router {
namespace {

constexpr absl::Duration kDrainGrace = absl::Seconds(10);
// Uploads and jobs whose files are being read keep one each.
constexpr int kHttpWorkers = 16;

ResolverOptions ResolverFor(const Options& options) {
  return {.model_server_url = options.model_server,
          .model_server_key = options.model_server_key,
          .default_timeout = options.upstream_timeout};
}

rpc::HandlerOptions HandlerFor(const char* service, const Options& options, const Deps& deps) {
  return {.service = service, .threads = options.rpc_threads, .authenticator = deps.authenticator};
}

// One rule for both doors: whoever may call over gRPC may call over HTTP.
std::unique_ptr<Callers> NewCallers(const Deps& deps) {
  if (deps.authenticator == nullptr) return std::make_unique<EveryoneIs>(Caller{.name = "trusted"});
  return std::make_unique<RegistryCallers>(*deps.authenticator, deps.registry_service, deps.clock);
}

// Runs a pass again and again, with a pause between, on a thread of its own.
class Repeater {
 public:
  Repeater(absl::Duration pause, std::function<void()> pass)
      : pause_(pause), pass_(std::move(pass)) {}
  ~Repeater() { Stop(); }

  void Start() {
    thread_ = std::thread([this] {
      while (!WaitForStop()) pass_();
    });
  }
  void Stop() {
    {
      absl::MutexLock lock(&mutex_);
      stop_ = true;
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  bool WaitForStop() {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&stop_), pause_);
  }

  const absl::Duration pause_;
  const std::function<void()> pass_;
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

// Declared in the order of construction: what comes later borrows what came before.
struct Module::Impl {
  Impl(const Options& options, const Deps& deps, std::unique_ptr<Journal> journal,
       std::unique_ptr<Redactor> redactor)
      : options(options),
        deps(deps),
        journal(std::move(journal)),
        redactor(std::move(redactor)),
        store(NewPgRouterStore(deps.pool)),
        registry_catalog(deps.registry_service, deps.clock),
        catalog(registry_catalog, options.catalog_fresh_for, deps.clock),
        metrics(deps.registry),
        ids(deps.clock, deps.random),
        evaluations(deps.evaluation == nullptr
                        ? nullptr
                        : std::make_unique<EvaluationRecords>(deps.evaluation)),
        control({*store, catalog, deps.clock, deps.logger, table, ResolverFor(options),
                 evaluations.get()}),
        books(options.instance, ids.NextId(), deps.clock),
        flusher(books, *store, *this->journal, deps.logger),
        mirror_breakers({}, deps.clock),
        budget(deps.clock),
        upstream({}, {}, deps.clock),
        mirror_upstream({}, deps.clock),
        mirror({.max_queue_bytes = options.mirror_queue_bytes,
                .max_item_bytes = options.mirror_item_bytes,
                .workers = options.mirror_workers,
                .timeout = options.mirror_timeout},
               {mirror_upstream, books, mirror_breakers, budget, *this->redactor, deps.clock}),
        callers(NewCallers(deps)),
        meter(deps.clock),
        door(*callers, meter),
        tuning(deps.curation == nullptr || deps.scheduler == nullptr
                   ? nullptr
                   : std::make_unique<Tuning>(*this)),
        chat({.project = options.project},
             {door, meter, table, upstream, books, mirror, *this->redactor, metrics, ids,
              deps.random, deps.clock, tuning == nullptr ? nullptr : &tuning->model_routes}),
        watchers(*store, control),
        route_handler(HandlerFor("crossover.router.v1.RouteService", options, deps), deps.clock,
                      deps.logger, deps.registry),
        experiment_handler(HandlerFor("crossover.router.v1.ExperimentService", options, deps),
                           deps.clock, deps.logger, deps.registry),
        traffic_handler(HandlerFor("crossover.router.v1.TrafficService", options, deps), deps.clock,
                        deps.logger, deps.registry),
        route_service(*store, control, deps.clock, route_handler),
        experiment_service({*store, control, watchers, ids, deps.clock, experiment_handler}),
        traffic_service(*store, flusher, ids, deps.clock, traffic_handler),
        flushing(options.flush_interval, [this] { Flush(); }),
        ticking(options.tick_interval, [this] { Tick(); }) {
    control.SetObserver([this](const Report& report) {
      metrics.Experiment(report);
      watchers.Notify(report);
    });
    mirror.SetObserver([this](const std::string&, std::string_view outcome,
                              std::string_view reason) { metrics.Mirrored(outcome, reason); });
    flusher.SetObserver(
        [this](std::string_view kind, int64_t count) { metrics.Rejected(kind, count); });
    flusher.SetFeedbackObserver([this](bool has_pair) { metrics.Feedback(has_pair); });
    server = std::make_unique<http::Server>(
        http::ServerOptions{.address = options.http_address,
                            .port = options.http_port,
                            .threads = options.http_threads,
                            .worker_threads = kHttpWorkers,
                            .max_body_bytes = options.max_body_bytes},
        deps.logger);
    AddOpenAiRoutes(*server, {.project = options.project, .max_body_bytes = options.max_body_bytes},
                    {door, chat, table, *store, flusher, ids, deps.clock,
                     tuning == nullptr ? nullptr : &tuning->models});
    if (tuning != nullptr) AddTuningRoutes(*server, tuning->routes);
    http::AddHealthRoutes(*server, [this] { return Ready(); });
  }

  void Flush() {
    (void)flusher.FlushOnce();  // It logs what went wrong and keeps what it could not store.
    mirror.SetBlocked(flusher.blocked());
    metrics.MirrorQueue(mirror.queued_bytes());
  }

  void Tick() {
    const absl::Status status = control.Tick();
    if (status.ok()) {
      absl::MutexLock lock(&mutex);
      loaded = true;
    } else {
      deps.logger.Warning("router_tick_failed", {{"error", status}});
    }
  }

  absl::Status Ready() {
    absl::MutexLock lock(&mutex);
    return loaded ? absl::OkStatus() : absl::UnavailableError("the routes have not been read yet");
  }

  // What needs the other services.
  struct Tuning {
    explicit Tuning(Impl& impl)
        : backend(impl.deps.curation, impl.deps.scheduler, impl.deps.clock),
          models(backend),
          model_routes(models, impl.catalog, ResolverFor(impl.options)),
          routes({.project = impl.options.project}, impl.door, backend) {}

    TuningBackend backend;
    SchedulerModels models;
    ModelRoutes model_routes;
    TuningRoutes routes;
  };

  const Options options;
  const Deps deps;
  const std::unique_ptr<Journal> journal;
  const std::unique_ptr<Redactor> redactor;
  const std::unique_ptr<RouterStore> store;
  RegistryCatalog registry_catalog;
  CachedCatalog catalog;
  RouterMetrics metrics;
  UuidGenerator ids;
  RoutingTableHolder table;
  const std::unique_ptr<Evaluations> evaluations;
  ExperimentControl control;
  Books books;
  Flusher flusher;
  Breakers mirror_breakers;
  BudgetMeter budget;
  AsyncUpstream upstream;
  HttpUpstream mirror_upstream;
  Mirror mirror;
  const std::unique_ptr<Callers> callers;
  KeyMeter meter;
  Door door;
  const std::unique_ptr<Tuning> tuning;
  ChatHandler chat;
  ExperimentWatchers watchers;
  rpc::Handler route_handler;
  rpc::Handler experiment_handler;
  rpc::Handler traffic_handler;
  RouteService route_service;
  ExperimentService experiment_service;
  TrafficService traffic_service;
  Repeater flushing;
  Repeater ticking;
  std::unique_ptr<http::Server> server;
  absl::Mutex mutex;
  bool loaded ABSL_GUARDED_BY(mutex) = false;
  bool drained = false;
};

pg::SchemaMigrations Module::RequiredMigrations() { return RouterMigrations(); }

absl::StatusOr<std::unique_ptr<Module>> Module::Create(Options options, Deps deps) {
  RETURN_IF_ERROR(pg::VerifyMigrations(deps.pool.options().dsn, RouterMigrations()));
  ASSIGN_OR_RETURN(std::unique_ptr<Journal> journal,
                   Journal::Open(options.journal.string(), options.journal_max_bytes));
  ASSIGN_OR_RETURN(std::unique_ptr<Redactor> redactor, Redactor::Create());
  return std::unique_ptr<Module>(
      new Module(std::make_unique<Impl>(options, deps, std::move(journal), std::move(redactor))));
}

Module::Module(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Module::~Module() { Drain(); }

std::vector<grpc::Service*> Module::Services() {
  return {&impl_->route_service, &impl_->experiment_service, &impl_->traffic_service};
}

absl::Status Module::Start() {
  impl_->mirror.Start();
  // Routes are read before the port opens. A database or registry that is away is not an error: the
  // ticks go on trying.
  impl_->Tick();
  impl_->Flush();
  RETURN_IF_ERROR(impl_->server->Start());
  impl_->flushing.Start();
  impl_->ticking.Start();
  return absl::OkStatus();
}

void Module::Drain() {
  if (std::exchange(impl_->drained, true)) return;
  impl_->server->Stop(kDrainGrace);
  impl_->upstream.Close();
  impl_->door.Stop();
  if (impl_->tuning != nullptr) impl_->tuning->model_routes.Stop();
  impl_->ticking.Stop();
  impl_->watchers.Close();
  impl_->mirror.Stop();
  impl_->flushing.Stop();
  impl_->Flush();  // What the mirror booked while it stopped.
}

absl::Status Module::Ready() { return impl_->Ready(); }

int Module::http_port() const { return impl_->server->port(); }

}  // namespace crossover::router
