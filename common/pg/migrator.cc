#include <map>
#include <pqxx/pqxx>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/json/digest.h"
#include "common/pg/connect.h"
#include "common/pg/migration.h"
#include "common/pg/transaction.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::pg {
namespace {

struct Applied {
  std::string name;
  std::string checksum;
};

std::string Quoted(pqxx::connection_base& connection, std::string_view schema) {
  return connection.quote_name(std::string(schema));
}

// What the database has; empty if the table doesn't exist.
std::map<int, Applied> ReadApplied(pqxx::transaction_base& txn, std::string_view schema) {
  const std::string table = Quoted(txn.conn(), schema) + ".schema_migrations";
  std::map<int, Applied> out;
  if (txn.exec_params1("SELECT to_regclass($1) IS NULL", table)[0].as<bool>()) return out;
  for (const auto& row : txn.exec("SELECT version, name, checksum FROM " + table)) {
    out[row[0].as<int>()] = {row[1].as<std::string>(), row[2].as<std::string>()};
  }
  return out;
}

absl::Status CheckHistory(const SchemaMigrations& schema, const std::map<int, Applied>& applied) {
  std::map<int, const Migration*> known;
  for (const Migration& migration : schema.migrations) known[migration.version] = &migration;
  for (const auto& [version, row] : applied) {
    const auto it = known.find(version);
    if (it == known.end()) {
      return Error(
          absl::StatusCode::kFailedPrecondition, "SCHEMA_TOO_NEW",
          absl::StrFormat(
              "schema %s has migration %s, which this binary does not know: run a newer binary",
              std::string(schema.schema), row.name));
    }
    if (DigestOf(it->second->sql) != row.checksum) {
      return Error(
          absl::StatusCode::kFailedPrecondition, "MIGRATION_CHANGED",
          absl::StrFormat(
              "migration %s of schema %s was applied with other contents: migrations never "
              "change once applied; add a new one instead",
              std::string(it->second->name), std::string(schema.schema)));
    }
  }
  return absl::OkStatus();
}

void Prepare(pqxx::connection& connection, std::string_view schema) {
  const std::string name = Quoted(connection, schema);
  pqxx::work txn(connection);
  txn.exec("CREATE SCHEMA IF NOT EXISTS " + name);
  txn.exec(absl::StrCat(
      "CREATE TABLE IF NOT EXISTS ", name,
      ".schema_migrations (version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, "
      "apply_time timestamptz NOT NULL DEFAULT now())"));
  txn.commit();
}

absl::Status ApplyOne(pqxx::connection& connection, std::string_view schema,
                      const Migration& migration) {
  try {
    pqxx::work txn(connection);
    txn.exec(absl::StrCat("SET LOCAL search_path TO ", Quoted(connection, schema)));
    txn.exec(std::string(migration.sql));
    txn.exec_params(
        absl::StrCat("INSERT INTO ", Quoted(connection, schema),
                     ".schema_migrations (version, name, checksum) VALUES ($1, $2, $3)"),
        migration.version, std::string(migration.name), DigestOf(migration.sql));
    txn.commit();
    return absl::OkStatus();
  } catch (...) {
    return StatusFromCurrentException(
        absl::StrCat("migration ", ToAbsl(migration.name), " of schema ", ToAbsl(schema)));
  }
}

absl::StatusOr<int> ApplyMissing(pqxx::connection& connection, const SchemaMigrations& schema,
                                 Logger& logger) {
  // A session lock: it goes with the connection, whatever happens.
  pqxx::nontransaction(connection)
      .exec_params("SELECT pg_advisory_lock(hashtextextended($1, 0))",
                   absl::StrCat("crossover.migrate.", ToAbsl(schema.schema)));
  Prepare(connection, schema.schema);
  std::map<int, Applied> applied;
  {
    pqxx::nontransaction txn(connection);
    applied = ReadApplied(txn, schema.schema);
  }
  RETURN_IF_ERROR(CheckHistory(schema, applied));
  int count = 0;
  for (const Migration& migration : schema.migrations) {
    if (applied.contains(migration.version)) continue;
    RETURN_IF_ERROR(ApplyOne(connection, schema.schema, migration));
    logger.Info("migration_applied", {{"schema", schema.schema}, {"name", migration.name}});
    ++count;
  }
  return count;
}

}  // namespace

absl::StatusOr<int> Migrate(const std::string& dsn, const SchemaMigrations& schema,
                            Logger& logger) {
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                   Connect({.dsn = dsn, .application_name = "crossover-migrate"}));
  try {
    return ApplyMissing(connection->get(), schema, logger);
  } catch (...) {
    return StatusFromCurrentException(absl::StrCat("migrating schema ", ToAbsl(schema.schema)));
  }
}

absl::Status VerifyMigrations(const std::string& dsn, const SchemaMigrations& schema) {
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                   Connect({.dsn = dsn, .application_name = "crossover-verify"}));
  std::map<int, Applied> applied;
  try {
    pqxx::nontransaction txn(connection->get());
    applied = ReadApplied(txn, schema.schema);
  } catch (...) {
    return StatusFromCurrentException(absl::StrCat("verifying schema ", ToAbsl(schema.schema)));
  }
  RETURN_IF_ERROR(CheckHistory(schema, applied));
  for (const Migration& migration : schema.migrations) {
    if (applied.contains(migration.version)) continue;
    return Error(
        absl::StatusCode::kFailedPrecondition, "SCHEMA_OUTDATED",
        absl::StrFormat(
            "schema %s lacks migration %s: run `crossover migrate` with this database first",
            std::string(schema.schema), std::string(migration.name)));
  }
  return absl::OkStatus();
}

absl::Status EnsureDatabase(const std::string& dsn, const std::string& name) {
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                   Connect({.dsn = dsn, .application_name = "crossover-migrate"}));
  try {
    pqxx::nontransaction txn(connection->get());
    if (!txn.exec_params("SELECT 1 FROM pg_database WHERE datname = $1", name).empty())
      return absl::OkStatus();
    txn.exec("CREATE DATABASE " + connection->get().quote_name(name));
    return absl::OkStatus();
  } catch (...) {
    return StatusFromCurrentException("making database " + name);
  }
}

}  // namespace crossover::pg
