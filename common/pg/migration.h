// Numbered schema changes, embedded in the binary by crossover_embed_sql (cmake/embed_sql.cmake).
//
// A service's storage room gets `<namespace>::Migrations()` from its generated
// "…/storage/embedded_sql.h". `crossover migrate` and the platform apply them; services only
// verify. No pqxx in this header.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/log/logger.h"

namespace crossover::pg {

// One file NNNN_name.sql. Runs once, in a transaction of its own, with search_path set to the
// schema.
struct Migration {
  int version = 0;
  std::string_view name;  // "NNNN_name.sql"
  std::string_view sql;
};

struct SchemaMigrations {
  std::string_view schema;
  std::vector<Migration> migrations;  // ascending by version
};

// Brings the schema up to date under an advisory lock (several callers at once are fine) and
// records version, name and checksum in <schema>.schema_migrations. Returns how many were applied.
// FAILED_PRECONDITION `MIGRATION_CHANGED` if a file that was applied has changed since,
// `SCHEMA_TOO_NEW` if the database knows versions that this binary doesn't.
absl::StatusOr<int> Migrate(const std::string& dsn, const SchemaMigrations& schema, Logger& logger);

// For services: OK iff every migration has been applied unchanged. FAILED_PRECONDITION
// `SCHEMA_OUTDATED` says what to run.
absl::Status VerifyMigrations(const std::string& dsn, const SchemaMigrations& schema);

// Makes a database unless it exists. `dsn` names another database of the server, usually
// `postgres`.
absl::Status EnsureDatabase(const std::string& dsn, const std::string& name);

}  // namespace crossover::pg
