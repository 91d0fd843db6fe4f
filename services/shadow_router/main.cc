#include <unistd.h>

#include "common/config/config.h"
#include "common/service/service_main.h"
#include "services/shadow_router/gateway.h"
#include "services/shadow_router/module.h"

namespace {

// Survives restarts, differs between the routers of one deployment.
std::string DefaultInstance() {
  char host[256] = "router";
  (void)gethostname(host, sizeof host - 1);
  return host;
}

void Declare(crossover::config::Config& config, crossover::router::Options& options) {
  config.Add("model-server", "base URL of the model server's OpenAI side", &options.model_server);
  config.AddSecret("model-server-key",
                   "key of the model server's OpenAI side, where it has one of its own; else the "
                   "service key",
                   &options.model_server_key);
  config.Add("instance", "what identifies this router across restarts", &options.instance);
  config.Add("journal", "file that holds flushes while the database is away", &options.journal);
  config.Add("http-threads", "threads of the front door", &options.http_threads);
  config.Add("mirror-workers", "mirror calls at the same time", &options.mirror_workers);
  config.Add("mirror-timeout", "longest mirror call", &options.mirror_timeout);
  config.Add("flush-interval", "how often pairs and ledger are stored", &options.flush_interval);
}

void Declare(crossover::config::Config& config, crossover::router::GatewayOptions& gateway) {
  config.Add("http-address", "host:port of the OpenAI front door", &gateway.http_address);
  config.Add("registry", "address of the registry; this process serves one on its own gRPC port",
             &gateway.registry);
  config.AddSecret("admin-key", "API key of role ADMIN in every project, to make others with",
                   &gateway.admin_key);
  config.Add("curation", "address of data_curation, whose calls are passed on", &gateway.curation);
  config.Add("scheduler", "address of training_scheduler, whose calls are passed on",
             &gateway.scheduler);
  config.Add("inference", "address of model_server's gRPC port, whose calls are passed on",
             &gateway.inference);
  config.Add("evaluation",
             "address of evaluation, whose calls are passed on and whose runs speak for candidates",
             &gateway.evaluation);
}

}  // namespace

int main(int argc, char** argv) {
  crossover::service::ServiceMain main("crossover-shadow-router",
                                       "OpenAI front door, shadow mirror and experiments; the "
                                       "deployment's registry and gRPC port.");
  crossover::router::Options options;
  crossover::router::GatewayOptions gateway;
  options.instance = DefaultInstance();
  options.journal = crossover::config::DefaultDataFolder() / "router.journal";
  Declare(main.config(), options);
  Declare(main.config(), gateway);
  return main.RunAll(argc, argv, [&](crossover::service::Runtime& runtime) {
    return crossover::router::BuildGateway(gateway, options, runtime);
  });
}
