#include <utility>

#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/registry/domain/store_errors.h"
#include "services/registry/storage/embedded_sql.h"
#include "services/registry/storage/pg_registry_store.h"
#include "services/registry/storage/pg_rows.h"

namespace crossover::registry {
namespace {

std::string Stamp(const std::optional<absl::Time>& time) {
  return time.has_value() ? pg::ToTimestamp(*time) : "";
}

absl::StatusOr<ApiKey> FindKeyIn(pqxx::transaction_base& txn, const std::string& project,
                                 const std::string& id) {
  const pqxx::result rows = txn.exec_params(sql::kGetKey, project, UuidOf(id));
  if (rows.empty()) return NotFound("key " + id);
  return ReadKey(rows[0]);
}

}  // namespace

absl::StatusOr<ApiKey> PgRegistryStore::CreateKey(const ApiKey& key, const RequestKey& request) {
  return pg::Transact(
      pool_, {.name = "create_key"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<ApiKey> {
        ASSIGN_OR_RETURN(const std::string earlier, NoteRequest(txn, key.project, request, key.id));
        if (!earlier.empty()) return FindKeyIn(txn, key.project, earlier);
        RETURN_IF_ERROR(LockResource(txn, {Kind::kProject, key.project, "", ""}));
        txn.exec_params(sql::kInsertKey, key.project, UuidOf(key.id), key.role, key.key_hash,
                        key.prefix, Stamp(key.expire_time), key.document);
        return FindKeyIn(txn, key.project, key.id);
      });
}

absl::StatusOr<ApiKey> PgRegistryStore::GetKey(const std::string& project, const std::string& id) {
  return pg::Transact(pool_, {.name = "get_key", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return FindKeyIn(txn, project, id); });
}

absl::StatusOr<Page<ApiKey>> PgRegistryStore::ListKeys(const std::string& project,
                                                       const PageQuery& query) {
  ASSIGN_OR_RETURN(const Position after, ParsePosition(query.after));
  return pg::Transact(pool_, {.name = "list_keys", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Page<ApiKey>> {
                        Page<ApiKey> page;
                        const std::string last = after.key.empty() ? "" : UuidOf(after.key);
                        for (const pqxx::row& row : txn.exec_params(
                                 sql::kListKeys, project, after.micros, last, query.limit)) {
                          ASSIGN_OR_RETURN(ApiKey key, ReadKey(row));
                          page.positions.push_back(MakePosition(key.create_time, key.id));
                          page.records.push_back(std::move(key));
                        }
                        return page;
                      });
}

absl::StatusOr<ApiKey> PgRegistryStore::UpdateKey(const ApiKey& key) {
  return pg::Transact(
      pool_, {.name = "update_key"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<ApiKey> {
        const pqxx::result changed =
            txn.exec_params(sql::kUpdateKey, key.project, UuidOf(key.id), key.revision, key.revoked,
                            key.role, key.key_hash, key.prefix, key.former_hash,
                            Stamp(key.former_expire_time), Stamp(key.expire_time), key.document);
        if (!changed.empty()) return FindKeyIn(txn, key.project, key.id);
        RETURN_IF_ERROR(FindKeyIn(txn, key.project, key.id).status());
        return EtagMismatch("key " + key.id);
      });
}

absl::StatusOr<ApiKey> PgRegistryStore::FindKey(const std::string& secret_hash) {
  return pg::Transact(pool_, {.name = "find_key", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<ApiKey> {
                        const pqxx::result rows = txn.exec_params(sql::kFindKey, secret_hash);
                        if (rows.empty()) return NotFound("key with this secret");
                        return ReadKey(rows[0]);
                      });
}

absl::StatusOr<bool> PgRegistryStore::AnyKeyOpens(absl::Time now) {
  return pg::Transact(
      pool_, {.name = "any_key_opens", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<bool> {
        return txn.exec_params(sql::kAnyKeyOpens, pg::ToTimestamp(now))[0][0].as<bool>();
      });
}

}  // namespace crossover::registry
