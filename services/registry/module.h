// The registry as a module: projects, keys, tasks, prompts, upstreams over Postgres. It has no
// process of its own: shadow_router's admin server and the platform host it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "common/rpc/auth.h"
#include "common/rpc/module.h"
#include "common/time/clock.h"

namespace crossover::registry {

struct Options {
  // Where the model server speaks the OpenAI contract (`http://127.0.0.1:8090/v1`, `unix:/path`).
  // Kept up to date in `projects/default/upstreams/model-server`; empty = left as it is.
  std::string model_server_url;
  int rpc_threads = 8;
};

// All borrowed.
struct Deps {
  pg::Pool& pool;  // search_path = registry
  Clock& clock;
  RandomSource& random;
  metrics::Registry& registry;
  Logger& logger;
  rpc::Authenticator* authenticator = nullptr;  // nullptr: everyone is ADMIN
};

class Module final : public rpc::Module {
 public:
  // The schema this module needs; `crossover migrate` and the platform apply it.
  static pg::SchemaMigrations RequiredMigrations();

  // FAILED_PRECONDITION SCHEMA_OUTDATED if the schema is not what this binary needs.
  static absl::StatusOr<std::unique_ptr<Module>> Create(Options options, Deps deps);
  ~Module() override;

  std::vector<grpc::Service*> Services() override;
  absl::Status Start() override;
  void Drain() override;
  absl::Status Ready() override;

 private:
  struct Impl;
  explicit Module(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Checks bearer keys against the registry's database, for servers of the same process (built before
// the modules that use it). `without_key` decides about callers that send none
// (rpc::LoopbackAuthenticator in the embedded default); null = refused. While no key opens, whom it
// lets in may send any. Borrows pool, clock and
// without_key.
std::unique_ptr<rpc::Authenticator> NewKeyAuthenticator(pg::Pool& pool, Clock& clock,
                                                        rpc::Authenticator* without_key);

}  // namespace crossover::registry
