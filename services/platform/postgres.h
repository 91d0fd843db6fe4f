// The private Postgres of the embedded default: made on the first start, run on a Unix socket,
// restarted when it dies.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/time/clock.h"
#include "services/platform/data_folder.h"

namespace crossover::platform {

struct PostgresOptions {
  std::filesystem::path binaries = "/usr/lib/postgresql/15/bin";
  absl::Duration start_timeout = absl::Seconds(60);  // recovery after a crash included
  int max_connections = 120;
  // A server that lived this long is started again at once when it dies; the others wait longer
  // each time.
  absl::Duration healthy_after = absl::Seconds(20);
};

// Thread-safe. As root the server runs as user `postgres` (it refuses root); if that user cannot
// reach the data folder, the server's files lie under /var/lib/crossover and <data>/postgres is a
// link to them.
class Postgres {
 public:
  // initdb on the first start (whole or not at all), ends a server that a killed platform left
  // behind, starts, waits until it answers, makes database `crossover`. NOT_FOUND
  // `POSTGRES_NOT_INSTALLED` says what to install; errors carry the end of its log.
  static absl::StatusOr<std::unique_ptr<Postgres>> Start(PostgresOptions options,
                                                         const DataFolder& folder, Clock& clock,
                                                         Logger& logger,
                                                         metrics::Registry& registry);
  ~Postgres();  // Stop()
  Postgres(const Postgres&) = delete;
  Postgres& operator=(const Postgres&) = delete;

  // libpq words for database `crossover`.
  const std::string& dsn() const;
  pid_t pid() const;
  int restarts() const;

  // Fast shutdown with a checkpoint. Idempotent; blocks.
  void Stop();

  struct Impl;

 private:
  explicit Postgres(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::platform
