#include "services/shadow_router/gateway.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "common/rpc/deployment_keys.h"
#include "common/status/status_macros.h"
#include "services/registry/module.h"

namespace crossover::router {
namespace {

// Service key, admin key, API keys of the registry; and, where no service key closes the door,
// callers of this machine. nullptr: everyone.
rpc::Authenticator* NewDoorkeeper(service::Runtime& runtime, pg::Pool& registry_pool,
                                  const std::string& admin_key) {
  if (runtime.authenticator() == nullptr) return nullptr;
  const std::string& service_key = runtime.options.service_key;
  rpc::Authenticator* const without_key = service_key.empty() ? runtime.authenticator() : nullptr;
  rpc::Authenticator* const api_keys =
      runtime.Keep(registry::NewKeyAuthenticator(registry_pool, runtime.clock, without_key));
  return runtime.Keep(std::make_unique<rpc::DeploymentAuthenticator>(
      rpc::DeploymentKeys{.service = service_key, .admin = admin_key}, api_keys));
}

void ForwardServices(const GatewayOptions& gateway, rpc::Authenticator* doorkeeper,
                     service::Runtime& runtime) {
  const std::pair<const char*, const std::string&> services[] = {
      {"crossover.curation.v1.", gateway.curation},
      {"crossover.scheduler.v1.", gateway.scheduler},
      {"crossover.inference.v1.", gateway.inference},
      {"crossover.evaluation.v1.", gateway.evaluation}};
  for (const auto& [prefix, target] : services) {
    if (!target.empty()) runtime.Forward(prefix, target, doorkeeper);
  }
}

// nullptr where the address of the service was not told.
std::shared_ptr<grpc::Channel> Connected(service::Runtime& runtime, const std::string& address) {
  return address.empty() ? nullptr : runtime.Connect(address);
}

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<rpc::Module>>> BuildGateway(
    const GatewayOptions& gateway, Options router, service::Runtime& runtime) {
  const std::string& service_key = runtime.options.service_key;
  if (!gateway.admin_key.empty())
    RETURN_IF_ERROR(rpc::CheckKey("the admin key", gateway.admin_key));
  RETURN_IF_ERROR(
      runtime.CheckExposure("http-address", gateway.http_address, !service_key.empty()));
  ASSIGN_OR_RETURN(const service::HostPort http, service::ParseHostPort(gateway.http_address));
  router.http_address = http.host;
  router.http_port = http.port;
  if (router.model_server_key.empty()) router.model_server_key = service_key;
  std::error_code ignored;  // Journal::Open says what is wrong with the folder.
  std::filesystem::create_directories(router.journal.parent_path(), ignored);
  ASSIGN_OR_RETURN(pg::Pool * registry_pool,
                   runtime.OpenPool(registry::Module::RequiredMigrations()));
  ASSIGN_OR_RETURN(pg::Pool * router_pool, runtime.OpenPool(Module::RequiredMigrations()));
  rpc::Authenticator* const doorkeeper = NewDoorkeeper(runtime, *registry_pool, gateway.admin_key);
  ForwardServices(gateway, doorkeeper, runtime);
  // The registry needs no process of its own: it lives on the router's gRPC port.
  ASSIGN_OR_RETURN(auto registry_module,
                   registry::Module::Create({.model_server_url = router.model_server},
                                            {.pool = *registry_pool,
                                             .clock = runtime.clock,
                                             .random = runtime.random,
                                             .registry = runtime.registry,
                                             .logger = runtime.logger,
                                             .authenticator = doorkeeper}));
  ASSIGN_OR_RETURN(
      auto router_module,
      Module::Create(std::move(router), {.pool = *router_pool,
                                         .clock = runtime.clock,
                                         .random = runtime.random,
                                         .registry = runtime.registry,
                                         .logger = runtime.logger,
                                         .registry_service = runtime.Connect(gateway.registry),
                                         .curation = Connected(runtime, gateway.curation),
                                         .scheduler = Connected(runtime, gateway.scheduler),
                                         .evaluation = Connected(runtime, gateway.evaluation),
                                         .authenticator = doorkeeper}));
  std::vector<std::unique_ptr<rpc::Module>> modules;
  modules.push_back(std::move(registry_module));
  modules.push_back(std::move(router_module));
  return modules;
}

}  // namespace crossover::router
