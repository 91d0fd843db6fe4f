// A pool of Postgres connections. Free of pqxx, so that modules and main can hold one; storage
// rooms use common/pg/transaction.h.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/time/clock.h"

namespace crossover::pg {

struct PoolOptions {
  std::string dsn;     // libpq connection string or URI
  std::string schema;  // search_path of every connection; empty = the role's default
  std::string application_name = "crossover";
  int min_connections = 1;  // opened by Create
  int max_connections = 10;
  absl::Duration acquire_timeout = absl::Seconds(5);  // longest wait for a free connection
  absl::Duration statement_timeout =
      absl::Seconds(30);  // upper bound; a nearer request deadline wins
  absl::Duration connect_timeout = absl::Seconds(5);
};

class Connection;  // common/pg/transaction.h

// Thread-safe. A connection that broke is thrown away and replaced by a new one at the next use
// (libpqxx's own silent reconnect, which loses SET, LISTEN and advisory locks, is inhibited).
class Pool {
 public:
  // Opens min_connections. UNAVAILABLE `POSTGRES_UNAVAILABLE` with libpq's words if the database
  // can't be reached. Borrows clock (and registry, for crossover_pg_connections{state} and
  // crossover_pg_transactions_total{outcome}; may be null).
  static absl::StatusOr<std::unique_ptr<Pool>> Create(PoolOptions options, Clock& clock,
                                                      metrics::Registry* registry = nullptr);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // SELECT 1 on a pooled connection: readiness.
  absl::Status Ping();

  const PoolOptions& options() const;
  Clock& clock() const;

  // Connections open now, idle and in use.
  int size() const;

  // The implementation; common/pg only.
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit Pool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::pg
