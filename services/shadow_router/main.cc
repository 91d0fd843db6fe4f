#include <unistd.h>

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/service/service_main.h"
#include "common/status/status_macros.h"
#include "services/registry/module.h"
#include "services/shadow_router/module.h"

namespace {

// Survives restarts, differs between the routers of one deployment.
std::string DefaultInstance() {
  char host[256] = "router";
  (void)gethostname(host, sizeof host - 1);
  return host;
}

// The registry needs no process of its own: it lives on the router's gRPC port.
absl::StatusOr<std::unique_ptr<crossover::registry::Module>> NewRegistry(
    crossover::service::Runtime& runtime, const std::string& model_server_url) {
  using crossover::registry::Module;
  ASSIGN_OR_RETURN(crossover::pg::Pool * pool, runtime.OpenPool(Module::RequiredMigrations()));
  return Module::Create({.model_server_url = model_server_url}, {.pool = *pool,
                                                                 .clock = runtime.clock,
                                                                 .random = runtime.random,
                                                                 .registry = runtime.registry,
                                                                 .logger = runtime.logger});
}

}  // namespace

int main(int argc, char** argv) {
  using crossover::router::Module;
  crossover::service::ServiceMain main("crossover-shadow-router",
                                       "OpenAI front door, shadow mirror and experiments.");
  crossover::router::Options options;
  std::string http = "127.0.0.1:8080";
  std::string registry = "127.0.0.1:7070";
  options.instance = DefaultInstance();
  options.journal = crossover::config::DefaultDataFolder() / "router.journal";
  main.config().Add("http-address", "host:port of the OpenAI front door", &http);
  main.config().Add("registry",
                    "address of the registry; this process serves one on its own gRPC port",
                    &registry);
  main.config().Add("model-server", "base URL of the model server's OpenAI side",
                    &options.model_server);
  main.config().Add("instance", "what identifies this router across restarts", &options.instance);
  main.config().Add("journal", "file that holds flushes while the database is away",
                    &options.journal);
  main.config().Add("http-threads", "threads of the front door", &options.http_threads);
  main.config().Add("mirror-workers", "mirror calls at the same time", &options.mirror_workers);
  main.config().Add("mirror-timeout", "longest mirror call", &options.mirror_timeout);
  main.config().Add("flush-interval", "how often pairs and ledger are stored",
                    &options.flush_interval);
  using Modules = std::vector<std::unique_ptr<crossover::rpc::Module>>;
  return main.RunAll(
      argc, argv, [&](crossover::service::Runtime& runtime) -> absl::StatusOr<Modules> {
        ASSIGN_OR_RETURN(const crossover::service::HostPort address,
                         crossover::service::ParseHostPort(http));
        options.http_address = address.host;
        options.http_port = address.port;
        std::error_code ignored;  // Journal::Open says what is wrong with the folder.
        std::filesystem::create_directories(options.journal.parent_path(), ignored);
        ASSIGN_OR_RETURN(auto registry_module, NewRegistry(runtime, options.model_server));
        ASSIGN_OR_RETURN(crossover::pg::Pool * pool,
                         runtime.OpenPool(Module::RequiredMigrations()));
        ASSIGN_OR_RETURN(auto router_module,
                         Module::Create(options, {.pool = *pool,
                                                  .clock = runtime.clock,
                                                  .random = runtime.random,
                                                  .registry = runtime.registry,
                                                  .logger = runtime.logger,
                                                  .registry_service = runtime.Connect(registry)}));
        Modules modules;
        modules.push_back(std::move(registry_module));
        modules.push_back(std::move(router_module));
        return modules;
      });
}
