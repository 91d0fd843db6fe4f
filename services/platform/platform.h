// The embedded default: every service in one process tree (`crossover up`).
//
// Private Postgres → migrations → all modules on one gRPC server (TCP, and a Unix socket by which
// they reach each other) → data plane and admin HTTP → children: crossover-model-server,
// crossover-trainer-worker. Stopped in reverse order: the worker checkpoints and gives its lease
// back while the scheduler still answers.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/time/clock.h"
#include "services/platform/child_settings.h"
#include "services/platform/data_folder.h"
#include "services/platform/postgres.h"

namespace crossover::platform {

struct Options {
  std::filesystem::path data;
  std::string http_address = "127.0.0.1:8080";  // data plane (OpenAI)
  std::string admin_address = "127.0.0.1:8081";
  std::string grpc_address = "127.0.0.1:7070";
  std::string metrics_address = "127.0.0.1:9464";
  // GGUF file or model folder imported as base on the first start, by the name that the file gives
  // it (BaseModelSlug). Empty: the test model that ./dev setup unpacked, as kBundledModel.
  std::filesystem::path base_model;
  bool import_base_model = true;
  bool model_server = true;
  int trainer_workers = 1;  // 0 = none
  int trainer_threads = 0;  // 0 = let it choose
  int model_server_threads = 0;
  ChildSettings child_settings;
  std::filesystem::path program_folder;  // of the children; empty = beside this program
  std::string log_level = "info";
  bool reflection = true;  // on the gRPC port, so that grpcurl knows the methods
  absl::Duration drain_timeout = absl::Seconds(20);
  PostgresOptions postgres;
};

class Platform {
 public:
  // Starts everything; when it returns, every port answers. What fails to start says what to do,
  // and what had started is stopped. Borrows clock, random and logger.
  static absl::StatusOr<std::unique_ptr<Platform>> Start(Options options, Clock& clock,
                                                         RandomSource& random, Logger& logger);
  ~Platform();  // Stop()
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  const StateFile& state() const;
  // What whoever started it should know, for the greeting; a sentence each.
  const std::vector<std::string>& notes() const;
  absl::Status Ready() const;

  // Reverse order. Idempotent; blocks.
  void Stop();

  struct Impl;

 private:
  explicit Platform(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Applies all schemas' migrations to any database: `crossover-platform migrate`.
absl::Status MigrateAll(const std::string& dsn, Logger& logger);

}  // namespace crossover::platform
