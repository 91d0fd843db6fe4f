#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/store_errors.h"
#include "services/data_curation/storage/embedded_sql.h"
#include "services/data_curation/storage/pg_curation_store.h"
#include "services/data_curation/storage/pg_rows.h"

namespace crossover::curation {
namespace {

absl::StatusOr<DatasetRecord> GetDatasetIn(pqxx::transaction_base& txn, const std::string& project,
                                           const std::string& id) {
  const pqxx::result rows = txn.exec_params(sql::kGetDataset, project, id);
  if (rows.empty()) return NotFound("data set", id);
  return ReadDataset(rows[0]);
}

absl::StatusOr<TombstoneRecord> GetTombstone(pqxx::transaction_base& txn,
                                             const std::string& project, const std::string& id) {
  const pqxx::result rows = txn.exec_params(sql::kGetTombstone, project, UuidOf(id));
  if (rows.empty()) return NotFound("tombstone", id);
  return ReadTombstone(rows[0]);
}

}  // namespace

absl::StatusOr<DatasetRecord> PgCurationStore::CreateDataset(const DatasetRecord& dataset,
                                                             const RequestKey& key) {
  return pg::Transact(pool_, {.name = "create_dataset"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<DatasetRecord> {
                        ASSIGN_OR_RETURN(const std::string earlier,
                                         NoteRequest(txn, dataset.project, key, dataset.id));
                        if (!earlier.empty()) return GetDatasetIn(txn, dataset.project, earlier);
                        const pqxx::result added =
                            txn.exec_params(sql::kInsertDataset, dataset.project, dataset.id,
                                            dataset.task, DetailsToJson(dataset));
                        if (added.empty()) return Exists("data set", dataset.id);
                        return GetDatasetIn(txn, dataset.project, dataset.id);
                      });
}

absl::StatusOr<DatasetRecord> PgCurationStore::GetDataset(const std::string& project,
                                                          const std::string& id) {
  return pg::Transact(pool_, {.name = "get_dataset", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return GetDatasetIn(txn, project, id); });
}

absl::StatusOr<Page<DatasetRecord>> PgCurationStore::ListDatasets(const PageQuery& query) {
  ASSIGN_OR_RETURN(const Position after, ParsePosition(query.after));
  return pg::Transact(
      pool_, {.name = "list_datasets", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Page<DatasetRecord>> {
        Page<DatasetRecord> page;
        for (const pqxx::row& row : txn.exec_params(sql::kListDatasets, query.project, after.micros,
                                                    after.key, query.limit)) {
          ASSIGN_OR_RETURN(DatasetRecord dataset, ReadDataset(row));
          page.positions.push_back(MakePosition(dataset.create_time, dataset.id));
          page.records.push_back(std::move(dataset));
        }
        return page;
      });
}

absl::StatusOr<DatasetRecord> PgCurationStore::UpdateDataset(const DatasetRecord& dataset) {
  return pg::Transact(pool_, {.name = "update_dataset"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<DatasetRecord> {
                        const pqxx::result changed =
                            txn.exec_params(sql::kUpdateDataset, dataset.project, dataset.id,
                                            dataset.revision, dataset.task, DetailsToJson(dataset));
                        if (!changed.empty()) return GetDatasetIn(txn, dataset.project, dataset.id);
                        RETURN_IF_ERROR(GetDatasetIn(txn, dataset.project, dataset.id).status());
                        return EtagMismatch("data set", dataset.id);
                      });
}

absl::Status PgCurationStore::DeleteDataset(const std::string& project, const std::string& id) {
  return pg::Transact(pool_, {.name = "delete_dataset"},
                      [&](pqxx::transaction_base& txn) -> absl::Status {
                        if (!txn.exec_params(sql::kHasVersions, project, id).empty())
                          return DatasetInUse(id);
                        if (txn.exec_params(sql::kDeleteDataset, project, id).empty())
                          return NotFound("data set", id);
                        return absl::OkStatus();
                      });
}

absl::StatusOr<TombstoneRecord> PgCurationStore::CreateTombstone(const TombstoneRecord& tombstone,
                                                                 const RequestKey& key) {
  return pg::Transact(pool_, {.name = "create_tombstone"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<TombstoneRecord> {
                        ASSIGN_OR_RETURN(const std::string earlier,
                                         NoteRequest(txn, tombstone.project, key, tombstone.id));
                        if (!earlier.empty()) return GetTombstone(txn, tombstone.project, earlier);
                        txn.exec_params(sql::kInsertTombstone, tombstone.project,
                                        UuidOf(tombstone.id), tombstone.row_digest,
                                        tombstone.subject, tombstone.reason);
                        return GetTombstone(txn, tombstone.project, tombstone.id);
                      });
}

absl::StatusOr<Page<TombstoneRecord>> PgCurationStore::ListTombstones(const PageQuery& query) {
  ASSIGN_OR_RETURN(const Position after, ParsePosition(query.after));
  return pg::Transact(
      pool_, {.name = "list_tombstones", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Page<TombstoneRecord>> {
        Page<TombstoneRecord> page;
        const std::string last = after.key.empty() ? "" : UuidOf(after.key);
        for (const pqxx::row& row : txn.exec_params(sql::kListTombstones, query.project,
                                                    after.micros, last, query.limit)) {
          ASSIGN_OR_RETURN(TombstoneRecord tombstone, ReadTombstone(row));
          page.positions.push_back(MakePosition(tombstone.create_time, tombstone.id));
          page.records.push_back(std::move(tombstone));
        }
        return page;
      });
}

absl::StatusOr<Tombstones> PgCurationStore::AllTombstones(const std::string& project) {
  return pg::Transact(pool_, {.name = "all_tombstones", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Tombstones> {
                        Tombstones all;
                        for (const pqxx::row& row : txn.exec_params(sql::kAllTombstones, project)) {
                          const std::string digest = row["row_digest"].c_str();
                          if (!digest.empty()) all.row_digests.insert(digest);
                          if (digest.empty()) all.subjects.insert(row["subject"].c_str());
                        }
                        return all;
                      });
}

}  // namespace crossover::curation
