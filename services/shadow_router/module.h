// The shadow router as a module: the OpenAI front door, routes, the mirror, experiments. Its data
// plane is an HTTP server of its own; its admin side are gRPC services on the host's server.
// Prompts, upstreams and tasks come from the registry by RPC.
#pragma once

#include <grpcpp/channel.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "common/rpc/auth.h"
#include "common/rpc/module.h"
#include "common/time/clock.h"

namespace crossover::router {

struct Options {
  std::string http_address = "127.0.0.1";
  int http_port = 8080;  // 0: any free one, see Module::http_port().
  int http_threads = 2;
  std::string project = "projects/default";
  // Base URL of the model server's OpenAI side: where systems with a base_model or an adapter go.
  std::string model_server = "http://127.0.0.1:8090/v1";
  std::string model_server_key;  // sent to it as bearer token; may be empty
  // What identifies this router across restarts: requests that a crash left in flight are booked
  // under it. One per process.
  std::string instance = "router-0";
  std::filesystem::path
      journal;  // Holds flushes while the database is away. Its folder exists. One per process.
  int64_t journal_max_bytes = int64_t{256} << 20;
  size_t max_body_bytes = 16 << 20;  // Of a request; above: 413.
  absl::Duration upstream_timeout =
      absl::Seconds(60);  // Where neither system nor upstream names one.
  size_t mirror_queue_bytes = 64 << 20;
  size_t mirror_item_bytes = 8 << 20;
  int mirror_workers = 4;
  absl::Duration mirror_timeout = absl::Seconds(60);
  absl::Duration flush_interval = absl::Seconds(1);
  absl::Duration tick_interval =
      absl::Seconds(1);  // How often experiments and configuration are looked at.
  absl::Duration catalog_fresh_for = absl::Seconds(10);
  int rpc_threads = 4;
};

// All borrowed but the channels.
struct Deps {
  pg::Pool& pool;  // search_path = router
  Clock& clock;
  RandomSource& random;
  metrics::Registry& registry;
  Logger& logger;
  std::shared_ptr<grpc::Channel> registry_service;  // crossover.registry.v1
  // crossover.curation.v1 and crossover.scheduler.v1, behind /v1/files, /v1/uploads,
  // /v1/fine_tuning and models called by their own name; nullptr: not served.
  std::shared_ptr<grpc::Channel> curation = nullptr;
  std::shared_ptr<grpc::Channel> scheduler = nullptr;
  // crossover.evaluation.v1: what experiments name as their candidate's evaluation; nullptr: it
  // cannot be read.
  std::shared_ptr<grpc::Channel> evaluation = nullptr;
  rpc::Authenticator* authenticator = nullptr;  // gRPC and HTTP; nullptr: everyone is ADMIN
};

class Module final : public rpc::Module {
 public:
  // The schema this module needs; `crossover migrate` and the platform apply it.
  static pg::SchemaMigrations RequiredMigrations();

  // FAILED_PRECONDITION SCHEMA_OUTDATED if the schema is not what this binary needs; the journal's
  // errors.
  static absl::StatusOr<std::unique_ptr<Module>> Create(Options options, Deps deps);
  ~Module() override;

  std::vector<grpc::Service*> Services() override;
  absl::Status Start() override;
  void Drain() override;
  absl::Status Ready() override;

  // Of the data plane, after Start.
  int http_port() const;

 private:
  struct Impl;
  explicit Module(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::router
