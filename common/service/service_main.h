// The main() of a service: parse → build → run.
//
//   int main(int argc, char** argv) {
//     service::ServiceMain main("crossover-training-scheduler", "Runs the job queue.");
//     scheduler::Options options;
//     main.config().Add("lease-ttl", "how long a lease lasts", &options.lease_ttl);
//     return main.Run(argc, argv, [&](service::Runtime& runtime) -> auto {
//       ASSIGN_OR_RETURN(pg::Pool* pool, runtime.OpenPool(scheduler::Migrations()));
//       return scheduler::Module::Create(options, {.pool = *pool, .clock = runtime.clock});
//     });
//   }
//
// Settings that every service has, each with CROSSOVER_… for it: --grpc-address,
// --metrics-address, --database-url, --database-password-file, --blob-dir, --log-level,
// --reflection, --drain-timeout, --service-key-file, --allow-unauthenticated.
#pragma once

#include <grpcpp/channel.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/blob/blob_store.h"
#include "common/config/config.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "common/rpc/auth.h"
#include "common/rpc/forwarder.h"
#include "common/rpc/module.h"
#include "common/time/clock.h"

namespace crossover::service {

struct CommonOptions {
  std::string service;  // "training-scheduler": no setting, the program's name without its prefix
  std::string grpc_address = "127.0.0.1:7070";  // several, separated by commas; "unix:/path" too
  std::string metrics_address = "127.0.0.1:9464";
  std::string database_url = "postgresql:///crossover";
  std::string database_password;
  std::filesystem::path blob_dir;  // default: <data folder>/blobs
  std::string log_level = "info";
  bool reflection = true;  // of gRPC, so that grpcurl knows the methods
  absl::Duration drain_timeout = absl::Seconds(30);
  // Shared by all services of the deployment: each demands it of its callers and shows it to the
  // others.
  std::string service_key;
  bool allow_unauthenticated = false;
};

// What a process gives its module. All references live until the process ends.
class Runtime {
 public:
  Runtime(const CommonOptions& options, Clock& clock, RandomSource& random, Logger& logger,
          metrics::Registry& registry);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const CommonOptions& options;
  Clock& clock;
  RandomSource& random;
  Logger& logger;
  metrics::Registry& registry;

  // A pool whose search_path is the schema, after checking that its migrations have been applied.
  // Owned by the runtime.
  absl::StatusOr<pg::Pool*> OpenPool(const pg::SchemaMigrations& schema, int max_connections = 10);
  // For pg::Listener: database_url with the password.
  std::string Dsn() const;
  // The blob store of --blob-dir. Owned by the runtime.
  absl::StatusOr<BlobStore*> OpenBlobStore();
  // A channel to another service ("host:port") whose calls show the service key and, while a
  // request is served, are limited to that request's project. Never fails; connects at the first
  // call.
  std::shared_ptr<grpc::Channel> Connect(const std::string& target);

  // Who may call a service that has no other rule: holders of the service key; without one, this
  // machine. nullptr (everyone) with --allow-unauthenticated. Owned by the runtime.
  rpc::Authenticator* authenticator();

  // Owns an authenticator until the process ends. It may borrow what the runtime gave out.
  rpc::Authenticator* Keep(std::unique_ptr<rpc::Authenticator> authenticator);

  // INVALID_ARGUMENT `CONFIG_INVALID` if other machines can reach this address ("host:port",
  // "unix:/path", several separated by commas) and neither a key protects it nor
  // --allow-unauthenticated says that none shall. `setting` names it.
  absl::Status CheckExposure(std::string_view setting, const std::string& addresses,
                             bool has_key) const;

  // Calls that begin with `prefix` ("crossover.curation.v1.") are passed on to `target` for callers
  // that `authenticator` admits (borrowed; nullptr: everyone).
  void Forward(const std::string& prefix, const std::string& target,
               rpc::Authenticator* authenticator);
  const std::vector<rpc::Forward>& forwards() const { return forwards_; }

 private:
  std::unique_ptr<rpc::Authenticator> authenticator_;
  std::vector<rpc::Forward> forwards_;
  std::vector<std::unique_ptr<pg::Pool>> pools_;
  std::unique_ptr<BlobStore> blobs_;
  std::vector<std::unique_ptr<rpc::Authenticator>> kept_;
};

using BuildModule = std::function<absl::StatusOr<std::unique_ptr<rpc::Module>>(Runtime&)>;
// For a process that hosts several. They are started in this order, and none may borrow from
// another.
using BuildModules =
    std::function<absl::StatusOr<std::vector<std::unique_ptr<rpc::Module>>>(Runtime&)>;

// Used once, by main.
class ServiceMain {
 public:
  // `program` as in "crossover-training-scheduler".
  ServiceMain(std::string program, std::string about);
  ~ServiceMain();

  config::Config& config() { return config_; }
  CommonOptions& options() { return options_; }

  // Parses, prints the effective configuration, builds the module, serves gRPC (health,
  // reflection), /metrics, /healthz and /readyz until SIGTERM or SIGINT, drains. Returns the exit
  // code: 0, or after an error on stderr that says what to do 2 for a wrong setting, else 1.
  int Run(int argc, char** argv, const BuildModule& build);
  int RunAll(int argc, char** argv, const BuildModules& build);

 private:
  std::string program_;
  CommonOptions options_;
  config::Config config_;
};

// main() of a program that applies migrations to --database-url (with --database-password-file) and
// ends. Returns the exit code.
int RunMigrate(const std::string& program, int argc, char** argv,
               const std::function<absl::Status(const std::string& dsn, Logger& logger)>& migrate);

// host:port apart, for HTTP listeners. INVALID_ARGUMENT `CONFIG_INVALID`.
struct HostPort {
  std::string host;
  int port = 0;
};
absl::StatusOr<HostPort> ParseHostPort(const std::string& text);

}  // namespace crossover::service
