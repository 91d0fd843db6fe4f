#include "services/platform/modules.h"

#include <utility>

#include "common/service/service_main.h"
#include "common/status/status_macros.h"
#include "services/data_curation/module.h"
#include "services/evaluation/module.h"
#include "services/platform/base_model.h"
#include "services/registry/module.h"
#include "services/shadow_router/module.h"
#include "services/training_scheduler/module.h"

namespace crossover::platform {
namespace {

using ModulePtr = std::unique_ptr<rpc::Module>;

absl::StatusOr<ModulePtr> NewRegistry(const ModuleDeps& deps) {
  return registry::Module::Create({.model_server_url = deps.model_server_url + "/v1"},
                                  {.pool = deps.pool("registry"),
                                   .clock = deps.clock,
                                   .random = deps.random,
                                   .registry = deps.registry,
                                   .logger = deps.logger,
                                   .authenticator = &deps.authenticator});
}

absl::StatusOr<ModulePtr> NewCuration(const ModuleDeps& deps) {
  return curation::Module::Create({.work_folder = deps.data / "curation"},
                                  {.pool = deps.pool("curation"),
                                   .blobs = deps.blobs,
                                   .clock = deps.clock,
                                   .random = deps.random,
                                   .registry = deps.registry,
                                   .logger = deps.logger,
                                   .scheduler = deps.self,
                                   .authenticator = &deps.authenticator});
}

absl::StatusOr<ModulePtr> NewScheduler(const ModuleDeps& deps) {
  return scheduler::Module::Create({.private_webhooks = true, .package_folders = {WheelsFolder()}},
                                   {.pool = deps.pool("scheduler"),
                                    .blobs = deps.blobs,
                                    .clock = deps.clock,
                                    .random = deps.random,
                                    .registry = deps.registry,
                                    .logger = deps.logger,
                                    .curation = deps.self,
                                    .evaluation = deps.self,
                                    .authenticator = &deps.authenticator});
}

absl::StatusOr<ModulePtr> NewEvaluation(const ModuleDeps& deps) {
  return evaluation::Module::Create({.scratch = deps.data / "evaluation"},
                                    {.pool = deps.pool("evaluation"),
                                     .blobs = deps.blobs,
                                     .clock = deps.clock,
                                     .random = deps.random,
                                     .registry = deps.registry,
                                     .logger = deps.logger,
                                     .prompts = deps.self,
                                     .curation = deps.self,
                                     .inference = deps.model_server,
                                     .authenticator = &deps.authenticator});
}

absl::StatusOr<std::unique_ptr<router::Module>> NewRouter(const ModuleDeps& deps) {
  ASSIGN_OR_RETURN(const service::HostPort http, service::ParseHostPort(deps.http_address));
  router::Options options;
  options.http_address = http.host;
  options.http_port = http.port;
  options.model_server = deps.model_server_url + "/v1";
  options.journal = deps.data / "router.journal";
  return router::Module::Create(std::move(options), {.pool = deps.pool("router"),
                                                     .clock = deps.clock,
                                                     .random = deps.random,
                                                     .registry = deps.registry,
                                                     .logger = deps.logger,
                                                     .registry_service = deps.self,
                                                     .curation = deps.self,
                                                     .scheduler = deps.self,
                                                     .evaluation = deps.self,
                                                     .authenticator = &deps.authenticator});
}

}  // namespace

std::vector<pg::SchemaMigrations> AllSchemas() {
  return {registry::Module::RequiredMigrations(), curation::Module::RequiredMigrations(),
          scheduler::Module::RequiredMigrations(), evaluation::Module::RequiredMigrations(),
          router::Module::RequiredMigrations()};
}

std::unique_ptr<rpc::Authenticator> NewAuthenticator(pg::Pool& registry_pool, Clock& clock,
                                                     rpc::Authenticator& without_key) {
  return registry::NewKeyAuthenticator(registry_pool, clock, &without_key);
}

absl::StatusOr<Modules> BuildModules(const ModuleDeps& deps) {
  Modules out;
  for (const auto& build : {&NewRegistry, &NewCuration, &NewScheduler, &NewEvaluation}) {
    ASSIGN_OR_RETURN(ModulePtr module, build(deps));
    out.all.push_back(std::move(module));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<router::Module> front, NewRouter(deps));
  out.http_port = [router = front.get()] { return router->http_port(); };
  out.all.push_back(std::move(front));
  return out;
}

}  // namespace crossover::platform
