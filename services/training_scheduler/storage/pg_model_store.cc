#include "services/training_scheduler/storage/pg_model_store.h"

#include "common/id/request_id.h"
#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/model_errors.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/insert_version.h"
#include "services/training_scheduler/storage/job_json.h"
#include "services/training_scheduler/storage/job_row.h"

namespace crossover::scheduler {
namespace {

std::string AnyOr(const std::string& model) { return model == "-" ? "" : model; }

absl::StatusOr<ModelVersion> Find(pqxx::transaction_base& txn, const std::string& project,
                                  const std::string& model, const std::string& digest_or_alias) {
  const pqxx::result rows =
      txn.exec_params(sql::kGetVersion, project, AnyOr(model), digest_or_alias);
  if (rows.empty()) return NoVersion(project, model, digest_or_alias);
  return ReadVersion(rows[0]);
}

absl::StatusOr<Model> FindModel(pqxx::transaction_base& txn, const std::string& project,
                                const std::string& model) {
  const pqxx::result rows = txn.exec_params(sql::kListModels, project, model, "", 1);
  if (rows.empty() || model.empty()) return NoModel(project, model);
  return ReadModel(rows[0]);
}

}  // namespace

std::optional<ModelKind> LockModel(pqxx::transaction_base& txn, const std::string& project,
                                   const std::string& model) {
  txn.exec_params(sql::kInsertModel, project, model);
  const pqxx::result rows = txn.exec_params(sql::kListModels, project, model, "", 1);
  if (rows.empty() || rows[0]["kind"].is_null()) return std::nullopt;
  return ParseModelKind(rows[0]["kind"].as<std::string>());
}

std::string InsertVersion(pqxx::transaction_base& txn, const ModelVersion& version) {
  // Locks the model's row: two that register the same version follow one another.
  txn.exec_params(sql::kInsertModel, version.project, version.model);
  const pqxx::result known = txn.exec_params(sql::kListVersions, version.project, version.model, "",
                                             "", version.digest, "", "", "", "", 0, 1);
  const std::string alias = known.empty() ? "" : known[0]["alias"].as<std::string>();
  if (!alias.empty() || (!known.empty() && version.alias.empty())) return alias;
  txn.exec_params(sql::kTakeAlias, version.project, version.alias);
  if (!known.empty()) {
    txn.exec_params(sql::kSetAlias, version.project, version.model, version.digest, version.alias);
    return version.alias;
  }
  txn.exec_params(sql::kInsertModelVersion, version.project, version.model, version.digest,
                  std::string(Name(version.kind)), version.architecture, version.base_digest,
                  version.tokenizer_digest, version.template_digest, version.parameters,
                  version.bytes, version.hidden_size, version.context_length, version.source_job,
                  version.dataset_version, version.task, version.licence, version.alias);
  return version.alias;
}

absl::StatusOr<bool> UseRequest(pqxx::transaction_base& txn, const std::string& project,
                                const RequestKey& key, const std::string& model,
                                const std::string& digest) {
  if (!txn.exec_params(sql::kUseRequest, project, key.id, key.payload_hash, model, digest)
           .empty()) {
    return true;
  }
  const pqxx::result used = txn.exec_params(sql::kGetUsedRequest, project, key.id);
  if (used[0]["payload_hash"].as<std::string>() == key.payload_hash) return false;
  return RequestIdReused(key.id);
}

absl::StatusOr<ModelVersion> PgModelStore::Register(const ModelVersion& version,
                                                    const RequestKey& key) {
  return pg::Transact(
      pool_, {.name = "register_version"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<ModelVersion> {
        if (!key.id.empty()) {
          RETURN_IF_ERROR(
              UseRequest(txn, version.project, key, version.model, version.digest).status());
        }
        const std::optional<ModelKind> known = LockModel(txn, version.project, version.model);
        if (known.has_value() && *known != version.kind) {
          return KindTaken(version.model, *known, version.kind);
        }
        InsertVersion(txn, version);
        return Find(txn, version.project, version.model, version.digest);
      });
}

absl::StatusOr<std::optional<ModelVersion>> PgModelStore::FindRegistered(const std::string& project,
                                                                         const RequestKey& key) {
  return pg::Transact(
      pool_, {.name = "find_registered", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::optional<ModelVersion>> {
        const pqxx::result used = txn.exec_params(sql::kGetUsedRequest, project, key.id);
        if (used.empty()) return std::optional<ModelVersion>();
        if (used[0]["payload_hash"].as<std::string>() != key.payload_hash) {
          return RequestIdReused(key.id);
        }
        ASSIGN_OR_RETURN(ModelVersion version,
                         Find(txn, project, used[0]["model"].as<std::string>(),
                              used[0]["digest"].as<std::string>()));
        return std::optional(std::move(version));
      });
}

absl::StatusOr<Model> PgModelStore::GetModel(const std::string& project, const std::string& model) {
  return pg::Transact(pool_, {.name = "get_model", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return FindModel(txn, project, model); });
}

absl::StatusOr<std::vector<Model>> PgModelStore::ListModels(const std::string& project,
                                                            const std::string& after,
                                                            int64_t limit) {
  return pg::Transact(
      pool_, {.name = "list_models", .read_only = true}, [&](pqxx::transaction_base& txn) {
        return ReadAll(txn.exec_params(sql::kListModels, project, "", after, limit), &ReadModel);
      });
}

absl::StatusOr<Model> PgModelStore::UpdateModel(const Model& model) {
  return pg::Transact(pool_, {.name = "update_model"}, [&](pqxx::transaction_base& txn) {
    txn.exec_params(sql::kUpdateModel, model.project, model.model, model.display_name,
                    StringsToJson(model.labels));
    return FindModel(txn, model.project, model.model);
  });
}

absl::StatusOr<ModelVersion> PgModelStore::GetVersion(const std::string& project,
                                                      const std::string& model,
                                                      const std::string& digest_or_alias) {
  return pg::Transact(
      pool_, {.name = "get_version", .read_only = true},
      [&](pqxx::transaction_base& txn) { return Find(txn, project, model, digest_or_alias); });
}

absl::StatusOr<std::vector<ModelVersion>> PgModelStore::ListVersions(const VersionQuery& query) {
  const std::string kind = query.kind.has_value() ? std::string(Name(*query.kind)) : "";
  return pg::Transact(
      pool_, {.name = "list_versions", .read_only = true}, [&](pqxx::transaction_base& txn) {
        return ReadAll(
            txn.exec_params(sql::kListVersions, query.project, AnyOr(query.model), kind,
                            query.alias, query.digest, query.base_digest, query.source_job,
                            query.dataset_version, query.task, query.before, query.limit),
            &ReadVersion);
      });
}

absl::StatusOr<ModelVersion> PgModelStore::SetAlias(const std::string& project,
                                                    const std::string& model,
                                                    const std::string& digest,
                                                    const std::string& alias) {
  return pg::Transact(
      pool_, {.name = "set_alias"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<ModelVersion> {
        txn.exec_params(sql::kTakeAlias, project, alias);
        if (txn.exec_params(sql::kSetAlias, project, model, digest, alias).empty()) {
          return NoVersion(project, model, digest);
        }
        return Find(txn, project, model, digest);
      });
}

absl::Status PgModelStore::DeleteVersion(const std::string& project, const std::string& model,
                                         const std::string& digest) {
  return pg::Transact(
      pool_, {.name = "delete_version"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        RETURN_IF_ERROR(Find(txn, project, model, digest).status());
        const pqxx::result referrer = txn.exec_params(sql::kVersionReferrer, project, digest);
        if (!referrer.empty()) {
          return VersionInUse(digest, referrer[0]["referrer"].as<std::string>());
        }
        txn.exec_params(sql::kDeleteVersion, project, model, digest);
        txn.exec_params(sql::kDeleteEmptyModel, project, model);
        return absl::OkStatus();
      });
}

}  // namespace crossover::scheduler
