// All services of the house, and what they are built from. The one place that names them.
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
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "common/rpc/auth.h"
#include "common/rpc/module.h"
#include "common/time/clock.h"

namespace crossover::platform {

struct ModuleDeps {
  std::function<pg::Pool&(std::string_view schema)> pool;
  BlobStore& blobs;
  Clock& clock;
  RandomSource& random;
  metrics::Registry& registry;
  Logger& logger;
  rpc::Authenticator& authenticator;
  std::shared_ptr<grpc::Channel> self;          // every service of this process
  std::shared_ptr<grpc::Channel> model_server;  // gRPC of the child
  std::string model_server_url;                 // its HTTP, "http://127.0.0.1:…"
  std::string http_address;                     // of the data plane
  std::filesystem::path data;                   // folder for what a module keeps on disk
};

// The schemas in the order in which they are migrated.
std::vector<pg::SchemaMigrations> AllSchemas();

// Checks API keys of the registry; callers without one are judged by `without_key`. Borrows all
// three.
std::unique_ptr<rpc::Authenticator> NewAuthenticator(pg::Pool& registry_pool, Clock& clock,
                                                     rpc::Authenticator& without_key);

struct Modules {
  std::vector<std::unique_ptr<rpc::Module>> all;      // in the order in which they start
  std::function<int()> http_port = [] { return 0; };  // of the data plane, once it serves
};

absl::StatusOr<Modules> BuildModules(const ModuleDeps& deps);

}  // namespace crossover::platform
