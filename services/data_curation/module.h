// Data curation as a module: files, data sets, runs and sealed versions over Postgres and the blob
// store.
#pragma once

#include <grpcpp/channel.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/blob/blob_store.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "common/rpc/auth.h"
#include "common/rpc/module.h"
#include "common/time/clock.h"

namespace crossover::curation {

struct Options {
  // Unfinished uploads (kept) and temporary files (emptied at the start); of this instance alone.
  std::filesystem::path work_folder;
  int64_t max_file_bytes = int64_t{512} << 20;
  absl::Duration run_lease_ttl = absl::Minutes(2);
  int rpc_threads = 8;
  int run_threads = 1;  // runs at a time
};

// All borrowed but the channel.
struct Deps {
  pg::Pool& pool;  // search_path = curation
  BlobStore& blobs;
  Clock& clock;
  RandomSource& random;
  metrics::Registry& registry;
  Logger& logger;
  std::shared_ptr<grpc::Channel> scheduler;     // ModelService, for ListAdapters; may be null
  rpc::Authenticator* authenticator = nullptr;  // nullptr: everyone is ADMIN
};

class Module final : public rpc::Module {
 public:
  // The schema this module needs; `crossover migrate` and the platform apply it.
  static pg::SchemaMigrations RequiredMigrations();

  // FAILED_PRECONDITION SCHEMA_OUTDATED if the schema is not what this binary needs; UNAVAILABLE if
  // work_folder cannot be made.
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

}  // namespace crossover::curation
