// Evaluation as a module: suites, runs, comparisons, ladders, decisions.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include <grpcpp/grpcpp.h>

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

namespace crossover::evaluation {

struct Options {
  int runners = 1;  // runs that ask at the same time; more disturb each other's latencies
  absl::Duration poll_interval =
      absl::Milliseconds(300);  // between looks for queued runs and ladders
  absl::Duration claim_ttl = absl::Seconds(30);
  absl::Duration answer_timeout = absl::Seconds(120);
  std::filesystem::path scratch = "/tmp/crossover-evaluation";
  std::string api_key;  // sent to the other services; may be empty
};

// References are borrowed and outlive the module.
struct Deps {
  pg::Pool& pool;  // search_path: the schema `evaluation`
  BlobStore& blobs;
  Clock& clock;
  RandomSource& random;
  metrics::Registry& registry;
  Logger& logger;
  std::shared_ptr<grpc::Channel> prompts;  // the registry room: projects, tasks, prompts, upstreams
  std::shared_ptr<grpc::Channel> curation;      // DatasetService
  std::shared_ptr<grpc::Channel> inference;     // the model server
  rpc::Authenticator* authenticator = nullptr;  // nullptr: everyone is ADMIN
};

class Module final : public rpc::Module {
 public:
  // The schema this module needs; `crossover migrate` and the platform apply it.
  static pg::SchemaMigrations RequiredMigrations();

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

}  // namespace crossover::evaluation
