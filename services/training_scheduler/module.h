// The training scheduler as a module: jobs, leases and the Model registry over Postgres.
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

namespace crossover::scheduler {

struct Options {
  absl::Duration lease_ttl = absl::Seconds(30);
  absl::Duration heartbeat_interval = absl::Seconds(10);
  absl::Duration housekeeping_interval = absl::Seconds(1);
  // Of jobs, webhook deliveries and pipelines that have ended; 0 = for ever.
  absl::Duration job_retention;
  // Most leases at a time by project; written to the database at the start.
  std::vector<std::string> project_quotas;  // PROJECT=N, or PROJECT= for none
  // What an hour of a worker costs, in USD; 0 = not known, and jobs have no cost.
  double device_hour_usd = 0;
  int rpc_threads = 8;
  // Whether webhooks may be posted to this machine and to private networks.
  bool private_webhooks = false;
  // Of LeaseService: they mostly wait for a transaction that they share.
  int lease_threads = 32;
  // Where installed packages with models lie: <folder>/<package>/*.gguf.
  std::vector<std::filesystem::path> package_folders;
};

// All borrowed but the channels.
struct Deps {
  pg::Pool& pool;  // search_path = scheduler
  BlobStore& blobs;
  Clock& clock;
  RandomSource& random;
  metrics::Registry& registry;
  Logger& logger;
  std::shared_ptr<grpc::Channel> curation;              // DatasetService, CurationService
  std::shared_ptr<grpc::Channel> evaluation = nullptr;  // nullptr: no such steps of pipelines
  rpc::Authenticator* authenticator = nullptr;          // nullptr: everyone is ADMIN
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

}  // namespace crossover::scheduler
