#include <algorithm>

#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/store_errors.h"
#include "services/data_curation/storage/embedded_sql.h"
#include "services/data_curation/storage/pg_curation_store.h"
#include "services/data_curation/storage/pg_rows.h"

namespace crossover::curation {
namespace {

constexpr size_t kRowsPerStatement = 5000;

absl::StatusOr<VersionRecord> GetVersionIn(pqxx::transaction_base& txn, const std::string& project,
                                           const std::string& dataset, const std::string& digest) {
  const pqxx::result rows = txn.exec_params(sql::kGetVersion, project, dataset, digest);
  if (rows.empty()) return NotFound("data set version", digest);
  return ReadVersion(rows[0]);
}

void InsertRows(pqxx::transaction_base& txn, const VersionRecord& version,
                const std::vector<SealedRow>& rows) {
  for (size_t begin = 0; begin < rows.size(); begin += kRowsPerStatement) {
    const size_t end = std::min(begin + kRowsPerStatement, rows.size());
    std::vector<std::string> digests;
    std::vector<std::string> splits;
    std::vector<int64_t> shards;
    std::vector<int64_t> offsets;
    for (size_t i = begin; i < end; ++i) {
      digests.push_back(rows[i].row_digest);
      splits.push_back(rows[i].split);
      shards.push_back(rows[i].shard);
      offsets.push_back(rows[i].offset);
    }
    txn.exec_params(sql::kInsertVersionRows, version.project, version.dataset, version.digest,
                    static_cast<int64_t>(begin), pg::ArrayLiteral(digests),
                    pg::ArrayLiteral(splits), pg::ArrayLiteral(shards), pg::ArrayLiteral(offsets));
  }
}

}  // namespace

pg::SchemaMigrations PgCurationStore::RequiredMigrations() { return Migrations(); }

absl::StatusOr<VersionRecord> PgCurationStore::PutVersion(const VersionRecord& version,
                                                          const std::vector<SealedRow>& rows,
                                                          const RequestKey& key) {
  return pg::Transact(
      pool_, {.name = "put_version"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<VersionRecord> {
        const std::string made = version.dataset + "/" + version.digest;
        ASSIGN_OR_RETURN(const std::string earlier, NoteRequest(txn, version.project, key, made));
        if (!earlier.empty()) {
          const size_t slash = earlier.find('/');
          return GetVersionIn(txn, version.project, earlier.substr(0, slash),
                              earlier.substr(slash + 1));
        }
        const pqxx::result dataset = txn.exec_params(sql::kSetCurrentVersion, version.project,
                                                     version.dataset, version.digest);
        if (dataset.empty()) return NotFound("data set", version.dataset);
        txn.exec_params(sql::kSetRunVersion, version.project, UuidOf(version.run), version.digest);
        const pqxx::result added = txn.exec_params(
            sql::kInsertVersion, version.project, version.dataset, version.digest, version.run,
            version.task, version.artifact_digest, DetailsToJson(version));
        if (!added.empty()) InsertRows(txn, version, rows);
        return GetVersionIn(txn, version.project, version.dataset, version.digest);
      });
}

absl::StatusOr<VersionRecord> PgCurationStore::GetVersion(const std::string& project,
                                                          const std::string& dataset,
                                                          const std::string& digest) {
  return pg::Transact(
      pool_, {.name = "get_version", .read_only = true},
      [&](pqxx::transaction_base& txn) { return GetVersionIn(txn, project, dataset, digest); });
}

absl::StatusOr<Page<VersionRecord>> PgCurationStore::ListVersions(const PageQuery& query) {
  ASSIGN_OR_RETURN(const Position after, ParsePosition(query.after));
  const size_t slash = after.key.find('/');
  const std::string dataset = after.key.substr(0, slash);
  const std::string digest = slash == std::string::npos ? "" : after.key.substr(slash + 1);
  return pg::Transact(
      pool_, {.name = "list_versions", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Page<VersionRecord>> {
        Page<VersionRecord> page;
        for (const pqxx::row& row : txn.exec_params(sql::kListVersions, query.project, query.parent,
                                                    after.micros, dataset, digest, query.limit)) {
          ASSIGN_OR_RETURN(VersionRecord version, ReadVersion(row));
          page.positions.push_back(
              MakePosition(version.create_time, version.dataset + "/" + version.digest));
          page.records.push_back(std::move(version));
        }
        return page;
      });
}

absl::StatusOr<std::vector<VersionRecord>> PgCurationStore::VersionsWithRow(
    const std::string& project, const std::string& row_digest) {
  return pg::Transact(
      pool_, {.name = "versions_with_row", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<VersionRecord>> {
        std::vector<VersionRecord> versions;
        for (const pqxx::row& row : txn.exec_params(sql::kVersionsWithRow, project, row_digest)) {
          ASSIGN_OR_RETURN(VersionRecord version, ReadVersion(row));
          versions.push_back(std::move(version));
        }
        return versions;
      });
}

}  // namespace crossover::curation
