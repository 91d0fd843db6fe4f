#include <nlohmann/json.hpp>

#include <utility>

#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/registry/domain/store_errors.h"
#include "services/registry/storage/embedded_sql.h"
#include "services/registry/storage/pg_registry_store.h"
#include "services/registry/storage/pg_rows.h"

namespace crossover::registry {
namespace {

ResourceKey ResourceOf(const PromptKey& prompt) {
  return {Kind::kPrompt, prompt.project, prompt.task, prompt.prompt};
}

absl::Status NoVersion(const PromptKey& prompt, const std::string& digest) {
  return NotFound(Describe(ResourceOf(prompt)) + "/versions/" + digest);
}

absl::StatusOr<PromptVersion> FindVersion(pqxx::transaction_base& txn, const PromptKey& prompt,
                                          const std::string& digest) {
  const pqxx::result rows =
      txn.exec_params(sql::kGetVersion, prompt.project, prompt.task, prompt.prompt, digest);
  if (rows.empty()) return NoVersion(prompt, digest);
  return ReadVersion(rows[0]);
}

}  // namespace

absl::StatusOr<PromptVersion> PgRegistryStore::PutVersion(const PromptVersion& version) {
  const PromptKey& prompt = version.prompt;
  return pg::Transact(pool_, {.name = "put_prompt_version"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<PromptVersion> {
                        RETURN_IF_ERROR(LockResource(txn, ResourceOf(prompt)));
                        const std::string labels =
                            nlohmann::json(version.labels)
                                .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
                        txn.exec_params(sql::kInsertVersion, prompt.project, prompt.task,
                                        prompt.prompt, version.digest, version.spec, labels,
                                        version.parent, version.note);
                        return FindVersion(txn, prompt, version.digest);
                      });
}

absl::StatusOr<PromptVersion> PgRegistryStore::GetVersion(const PromptKey& prompt,
                                                          const std::string& digest) {
  return pg::Transact(
      pool_, {.name = "get_prompt_version", .read_only = true},
      [&](pqxx::transaction_base& txn) { return FindVersion(txn, prompt, digest); });
}

absl::StatusOr<Page<PromptVersion>> PgRegistryStore::ListVersions(const PromptKey& prompt,
                                                                  const PageQuery& query) {
  ASSIGN_OR_RETURN(const Position after, ParsePosition(query.after));
  return pg::Transact(
      pool_, {.name = "list_prompt_versions", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Page<PromptVersion>> {
        Page<PromptVersion> page;
        for (const pqxx::row& row :
             txn.exec_params(sql::kListVersions, prompt.project, prompt.task, prompt.prompt,
                             after.micros, after.key, query.limit)) {
          ASSIGN_OR_RETURN(PromptVersion version, ReadVersion(row));
          page.positions.push_back(MakePosition(version.create_time, version.digest));
          page.records.push_back(std::move(version));
        }
        return page;
      });
}

absl::StatusOr<PromptVersion> PgRegistryStore::Activate(const PromptKey& prompt,
                                                        const std::string& digest,
                                                        const std::string& evaluation,
                                                        const std::string& override_reason) {
  return pg::Transact(
      pool_, {.name = "activate_prompt_version"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<PromptVersion> {
        if (txn.exec_params(sql::kLockPrompt, prompt.project, prompt.task, prompt.prompt).empty()) {
          return NotFound(Describe(ResourceOf(prompt)));
        }
        txn.exec_params(sql::kRetireVersion, prompt.project, prompt.task, prompt.prompt);
        const pqxx::result chosen =
            txn.exec_params(sql::kActivateVersion, prompt.project, prompt.task, prompt.prompt,
                            digest, evaluation, override_reason);
        if (chosen.empty()) return NoVersion(prompt, digest);
        txn.exec_params(sql::kInsertActivation, prompt.project, prompt.task, prompt.prompt, digest,
                        evaluation, override_reason);
        return FindVersion(txn, prompt, digest);
      });
}

absl::StatusOr<std::vector<std::string>> PgRegistryStore::ActivationHistory(
    const PromptKey& prompt) {
  return pg::Transact(
      pool_, {.name = "activation_history", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<std::string>> {
        std::vector<std::string> history;
        for (const pqxx::row& row :
             txn.exec_params(sql::kActivationHistory, prompt.project, prompt.task, prompt.prompt)) {
          history.emplace_back(row["digest"].c_str());
        }
        return history;
      });
}

absl::StatusOr<RegistryStore::Heads> PgRegistryStore::HeadsOf(const PromptKey& prompt) {
  return pg::Transact(pool_, {.name = "prompt_heads", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Heads> {
                        const pqxx::row row = txn.exec_params1(sql::kPromptHeads, prompt.project,
                                                               prompt.task, prompt.prompt);
                        return Heads{row["active"].c_str(), row["latest"].c_str()};
                      });
}

}  // namespace crossover::registry
