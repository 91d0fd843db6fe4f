#include "services/registry/module.h"

#include <utility>

#include "common/id/uuid7.h"
#include "common/status/status_macros.h"
#include "services/registry/domain/prompt_registry.h"
#include "services/registry/probe/http_upstream_prober.h"
#include "services/registry/storage/pg_registry_store.h"
#include "services/registry/transport/key_authenticator.h"
#include "services/registry/transport/project_service.h"
#include "services/registry/transport/prompt_service.h"
#include "services/registry/transport/task_service.h"
#include "services/registry/transport/upstream_service.h"

namespace crossover::registry {
namespace {

rpc::HandlerOptions HandlerFor(const char* service, const Options& options, const Deps& deps) {
  return {.service = service, .threads = options.rpc_threads, .authenticator = deps.authenticator};
}

// Owns the store that the authenticator asks.
class PgKeyAuthenticator final : public rpc::Authenticator {
 public:
  PgKeyAuthenticator(pg::Pool& pool, Clock& clock, rpc::Authenticator* without_key)
      : store_(pool), authenticator_(store_, clock, without_key) {}

  absl::StatusOr<rpc::Principal> Authenticate(std::string_view authorization,
                                              std::string_view peer) override {
    return authenticator_.Authenticate(authorization, peer);
  }

 private:
  PgRegistryStore store_;
  KeyAuthenticator authenticator_;
};

}  // namespace

// Declared in the order of construction: what comes later borrows what came before.
struct Module::Impl {
  Impl(Options o, const Deps& d)
      : options(std::move(o)),
        deps(d),
        store(deps.pool),
        ids(deps.clock, deps.random),
        prompts(store),
        prober(deps.clock),
        project_handler(HandlerFor("crossover.registry.v1.ProjectService", options, deps),
                        deps.clock, deps.logger, deps.registry),
        task_handler(HandlerFor("crossover.registry.v1.TaskService", options, deps), deps.clock,
                     deps.logger, deps.registry),
        prompt_handler(HandlerFor("crossover.registry.v1.PromptService", options, deps), deps.clock,
                       deps.logger, deps.registry),
        upstream_handler(HandlerFor("crossover.registry.v1.UpstreamService", options, deps),
                         deps.clock, deps.logger, deps.registry),
        project_service(project_handler, store, ids, deps.random, deps.clock),
        task_service(task_handler, store),
        prompt_service(prompt_handler, store, prompts),
        upstream_service(upstream_handler, store, prober) {}

  Options options;
  Deps deps;
  PgRegistryStore store;
  UuidGenerator ids;
  PromptRegistry prompts;
  HttpUpstreamProber prober;
  rpc::Handler project_handler;
  rpc::Handler task_handler;
  rpc::Handler prompt_handler;
  rpc::Handler upstream_handler;
  ProjectServiceImpl project_service;
  TaskServiceImpl task_service;
  PromptServiceImpl prompt_service;
  UpstreamServiceImpl upstream_service;
};

pg::SchemaMigrations Module::RequiredMigrations() { return PgRegistryStore::RequiredMigrations(); }

absl::StatusOr<std::unique_ptr<Module>> Module::Create(Options options, Deps deps) {
  RETURN_IF_ERROR(pg::VerifyMigrations(deps.pool.options().dsn, RequiredMigrations()));
  return std::unique_ptr<Module>(new Module(std::make_unique<Impl>(std::move(options), deps)));
}

Module::Module(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Module::~Module() = default;

std::vector<grpc::Service*> Module::Services() {
  return {&impl_->project_service, &impl_->task_service, &impl_->prompt_service,
          &impl_->upstream_service};
}

absl::Status Module::Start() {
  if (impl_->options.model_server_url.empty()) return absl::OkStatus();
  return impl_->upstream_service.EnsureModelServer(impl_->options.model_server_url);
}

void Module::Drain() {}

absl::Status Module::Ready() { return impl_->deps.pool.Ping(); }

std::unique_ptr<rpc::Authenticator> NewKeyAuthenticator(pg::Pool& pool, Clock& clock,
                                                        rpc::Authenticator* without_key) {
  return std::make_unique<PgKeyAuthenticator>(pool, clock, without_key);
}

}  // namespace crossover::registry
