// How this room opens connections and lends them out. Private to common/pg.
#pragma once

#include <deque>
#include <memory>
#include <pqxx/pqxx>
#include <string>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/pg/pool.h"

namespace crossover::pg {

// A connection that never reconnects behind our back and prints nothing.
class Connection {
 public:
  explicit Connection(const std::string& dsn);

  pqxx::connection& get() { return connection_; }

 private:
  pqxx::connection connection_;
  pqxx::quiet_errorhandler quiet_{connection_};
};

struct ConnectOptions {
  std::string dsn;
  std::string schema;  // search_path, if not empty
  std::string application_name;
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration statement_timeout = absl::InfiniteDuration();
};

// UNAVAILABLE `POSTGRES_UNAVAILABLE` with libpq's words.
absl::StatusOr<std::unique_ptr<Connection>> Connect(const ConnectOptions& options);

// The dsn without its password, for messages.
std::string RedactDsn(const std::string& dsn);

// A connection on loan from a pool. Returned by the destructor; thrown away if it broke or
// Discard() was called.
class Lease {
 public:
  Lease(Pool::Impl& pool, std::unique_ptr<Connection> connection)
      : pool_(&pool), connection_(std::move(connection)) {}
  ~Lease();
  Lease(Lease&& other) noexcept = default;
  Lease& operator=(Lease&&) = delete;

  pqxx::connection& get() { return connection_->get(); }
  void Discard() { discard_ = true; }

 private:
  Pool::Impl* pool_;
  std::unique_ptr<Connection> connection_;
  bool discard_ = false;
};

struct Pool::Impl {
  Impl(PoolOptions pool_options, Clock& pool_clock, metrics::Registry* registry);

  absl::StatusOr<std::unique_ptr<Connection>> Open();
  // Waits for a free connection at most acquire_timeout, and no longer than the RequestContext's
  // deadline.
  absl::StatusOr<Lease> Acquire();
  void Return(std::unique_ptr<Connection> connection, bool discard);
  // Closes idle connections: after one broke, the others are probably dead too.
  void DropIdle();
  void CountTransaction(const char* outcome);

  const PoolOptions options;
  Clock& clock;
  metrics::Registry* const registry;

  absl::Mutex mutex;
  std::deque<std::unique_ptr<Connection>> idle ABSL_GUARDED_BY(mutex);
  int open ABSL_GUARDED_BY(mutex) = 0;
};

}  // namespace crossover::pg
