// Real Postgres for storage tests: one private server per test process, one database per test.
//
//   class PgJobStoreTest : public ::testing::Test {
//     testing::PgDatabase db_{{scheduler::Migrations()}};
//     std::unique_ptr<pg::Pool> pool_ = db_.NewPool("scheduler");
//   };
//
// The server (binaries of /usr/lib/postgresql/15/bin, as user `postgres` when the test runs as
// root) starts at the first use on a Unix socket in a temporary folder, without fsync, and dies
// with the process. Databases are made from a template that has the migrations, which takes about
// 60 ms. A machine without Postgres is a failure with a message that says what to install, never a
// skipped test.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "common/time/clock.h"

namespace crossover::testing {

// A database of its own, dropped by the destructor. Any failure aborts the process with a message.
class PgDatabase {
 public:
  explicit PgDatabase(std::vector<pg::SchemaMigrations> schemas = {});
  ~PgDatabase();
  PgDatabase(const PgDatabase&) = delete;
  PgDatabase& operator=(const PgDatabase&) = delete;

  const std::string& dsn() const { return dsn_; }
  const std::string& name() const { return name_; }

  // A pool with this search_path.
  std::unique_ptr<pg::Pool> NewPool(std::string_view schema = "", int max_connections = 8,
                                    Clock& clock = SystemClock());

  // Runs SQL outside any pool: to break connections (pg_terminate_backend), inspect or prepare.
  void Execute(const std::string& sql);
  // First column of the first row as text.
  std::string Query(const std::string& sql);

 private:
  std::string name_;
  std::string dsn_;
};

}  // namespace crossover::testing
