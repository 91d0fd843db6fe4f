#include <utility>

#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/registry/domain/store_errors.h"
#include "services/registry/storage/embedded_sql.h"
#include "services/registry/storage/pg_registry_store.h"
#include "services/registry/storage/pg_rows.h"

namespace crossover::registry {
namespace {

absl::StatusOr<Resource> FindResource(pqxx::transaction_base& txn, const ResourceKey& key) {
  const pqxx::result rows = txn.exec_params(sql::kGetResource, std::string(Name(key.kind)),
                                            key.project, key.parent, key.id);
  if (rows.empty()) return NotFound(Describe(key));
  return ReadResource(rows[0]);
}

absl::Status LockParents(pqxx::transaction_base& txn, const ResourceKey& key) {
  if (key.kind == Kind::kProject) return absl::OkStatus();
  RETURN_IF_ERROR(LockResource(txn, {Kind::kProject, key.project, "", ""}));
  if (key.kind != Kind::kPrompt) return absl::OkStatus();
  return LockResource(txn, {Kind::kTask, key.project, "", key.parent});
}

absl::Status CheckUnused(pqxx::transaction_base& txn, const ResourceKey& key) {
  const pqxx::result inside =
      txn.exec_params(sql::kFindInside, std::string(Name(key.kind)), key.project, key.id);
  if (!inside.empty()) {
    return InUse(Describe(key),
                 std::string(inside[0]["kind"].c_str()) + " " + inside[0]["id"].c_str());
  }
  if (key.kind != Kind::kPrompt) return absl::OkStatus();
  const pqxx::result used =
      txn.exec_params(sql::kActivationHistory, key.project, key.parent, key.id);
  if (!used.empty())
    return InUse(Describe(key), std::string("version ") + used[0]["digest"].c_str());
  txn.exec_params(sql::kDeleteVersions, key.project, key.parent, key.id);
  return absl::OkStatus();
}

}  // namespace

pg::SchemaMigrations PgRegistryStore::RequiredMigrations() { return Migrations(); }

absl::StatusOr<Resource> PgRegistryStore::Create(const Resource& resource, const RequestKey& key) {
  const ResourceKey& id = resource.key;
  return pg::Transact(pool_, {.name = "create_resource"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Resource> {
                        ASSIGN_OR_RETURN(const std::string earlier,
                                         NoteRequest(txn, id.project, key, Describe(id)));
                        if (!earlier.empty()) return FindResource(txn, id);
                        RETURN_IF_ERROR(LockParents(txn, id));
                        const pqxx::result added = txn.exec_params(
                            sql::kInsertResource, std::string(Name(id.kind)), id.project, id.parent,
                            id.id, resource.state, resource.document);
                        if (added.empty()) return Exists(Describe(id));
                        return FindResource(txn, id);
                      });
}

absl::StatusOr<Resource> PgRegistryStore::Get(const ResourceKey& key) {
  return pg::Transact(pool_, {.name = "get_resource", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return FindResource(txn, key); });
}

absl::StatusOr<Page<Resource>> PgRegistryStore::List(Kind kind, const std::string& project,
                                                     const std::string& parent,
                                                     const PageQuery& query) {
  ASSIGN_OR_RETURN(const Position after, ParsePosition(query.after));
  const std::string in_project = kind == Kind::kProject ? "" : project;
  const std::string in_parent = kind == Kind::kPrompt ? parent : "-";
  return pg::Transact(pool_, {.name = "list_resources", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Page<Resource>> {
                        Page<Resource> page;
                        for (const pqxx::row& row : txn.exec_params(
                                 sql::kListResources, std::string(Name(kind)), in_project,
                                 in_parent, after.micros, after.key, query.limit)) {
                          ASSIGN_OR_RETURN(Resource resource, ReadResource(row));
                          const ResourceKey& key = resource.key;
                          page.positions.push_back(MakePosition(
                              resource.create_time, key.project + "/" + key.parent + "/" + key.id));
                          page.records.push_back(std::move(resource));
                        }
                        return page;
                      });
}

absl::StatusOr<Resource> PgRegistryStore::Update(const Resource& resource) {
  const ResourceKey& key = resource.key;
  return pg::Transact(pool_, {.name = "update_resource"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Resource> {
                        const pqxx::result changed = txn.exec_params(
                            sql::kUpdateResource, std::string(Name(key.kind)), key.project,
                            key.parent, key.id, resource.revision, resource.state,
                            resource.state_reason, resource.document);
                        if (!changed.empty()) return FindResource(txn, key);
                        RETURN_IF_ERROR(FindResource(txn, key).status());
                        return EtagMismatch(Describe(key));
                      });
}

absl::Status PgRegistryStore::Delete(const ResourceKey& key) {
  return pg::Transact(pool_, {.name = "delete_resource"},
                      [&](pqxx::transaction_base& txn) -> absl::Status {
                        RETURN_IF_ERROR(FindResource(txn, key).status());
                        RETURN_IF_ERROR(CheckUnused(txn, key));
                        txn.exec_params(sql::kDeleteResource, std::string(Name(key.kind)),
                                        key.project, key.parent, key.id);
                        return absl::OkStatus();
                      });
}

}  // namespace crossover::registry
