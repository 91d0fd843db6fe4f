#include <nlohmann/json.hpp>

#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/store_errors.h"
#include "services/data_curation/storage/embedded_sql.h"
#include "services/data_curation/storage/pg_curation_store.h"
#include "services/data_curation/storage/pg_rows.h"

namespace crossover::curation {
namespace {

absl::StatusOr<FileRecord> GetFileIn(pqxx::transaction_base& txn, const std::string& project,
                                     const std::string& id) {
  const pqxx::result rows = txn.exec_params(sql::kGetFile, project, UuidOf(id));
  if (rows.empty()) return NotFound("file", id);
  return ReadFile(rows[0]);
}

std::string ProblemsToJson(const std::vector<Problem>& problems) {
  nlohmann::json list = nlohmann::json::array();
  for (size_t i = 0; i < problems.size(); ++i) {
    const Problem& problem = problems[i];
    list.push_back({{"position", i},
                    {"line", problem.line},
                    {"field", problem.field},
                    {"code", problem.code},
                    {"message", problem.message},
                    {"is_error", problem.severity == Problem::Severity::kError}});
  }
  return list.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::string> PgCurationStore::MadeBy(const std::string& project,
                                                    const RequestKey& key) {
  return pg::Transact(
      pool_, {.name = "made_by", .read_only = true},
      [&](pqxx::transaction_base& txn) { return EarlierRequest(txn, project, key); });
}

absl::StatusOr<FileRecord> PgCurationStore::CreateFile(const FileRecord& file,
                                                       const RequestKey& key) {
  return pg::Transact(
      pool_, {.name = "create_file"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<FileRecord> {
        ASSIGN_OR_RETURN(const std::string earlier, NoteRequest(txn, file.project, key, file.id));
        if (!earlier.empty()) return GetFileIn(txn, file.project, earlier);
        const pqxx::result added =
            txn.exec_params(sql::kInsertFile, file.project, UuidOf(file.id), file.filename,
                            file.purpose, file.size_bytes, file.sha256,
                            std::string(Name(file.state)), file.state_reason, DetailsToJson(file));
        if (added.empty()) return Exists("file", file.id);
        return GetFileIn(txn, file.project, file.id);
      });
}

absl::StatusOr<FileRecord> PgCurationStore::GetFile(const std::string& project,
                                                    const std::string& id) {
  return pg::Transact(pool_, {.name = "get_file", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return GetFileIn(txn, project, id); });
}

absl::StatusOr<Page<FileRecord>> PgCurationStore::ListFiles(const PageQuery& query) {
  ASSIGN_OR_RETURN(const Position after, ParsePosition(query.after));
  return pg::Transact(pool_, {.name = "list_files", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Page<FileRecord>> {
                        Page<FileRecord> page;
                        const std::string last = after.key.empty() ? "" : UuidOf(after.key);
                        for (const pqxx::row& row : txn.exec_params(
                                 sql::kListFiles, query.project, after.micros, last, query.limit)) {
                          ASSIGN_OR_RETURN(FileRecord file, ReadFile(row));
                          page.positions.push_back(MakePosition(file.create_time, file.id));
                          page.records.push_back(std::move(file));
                        }
                        return page;
                      });
}

absl::StatusOr<FileRecord> PgCurationStore::UpdateFile(const FileRecord& file) {
  return pg::Transact(pool_, {.name = "update_file"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<FileRecord> {
                        const pqxx::result changed = txn.exec_params(
                            sql::kUpdateFile, file.project, UuidOf(file.id), file.revision,
                            file.size_bytes, file.sha256, std::string(Name(file.state)),
                            file.state_reason, DetailsToJson(file));
                        if (!changed.empty()) return GetFileIn(txn, file.project, file.id);
                        RETURN_IF_ERROR(GetFileIn(txn, file.project, file.id).status());
                        return EtagMismatch("file", file.id);
                      });
}

absl::Status PgCurationStore::DeleteFile(const std::string& project, const std::string& id) {
  return pg::Transact(pool_, {.name = "delete_file"},
                      [&](pqxx::transaction_base& txn) -> absl::Status {
                        if (txn.exec_params(sql::kDeleteFile, project, UuidOf(id)).empty())
                          return NotFound("file", id);
                        return absl::OkStatus();
                      });
}

absl::Status PgCurationStore::PutProblems(const std::string& project, const std::string& id,
                                          const std::vector<Problem>& problems) {
  return pg::Transact(
      pool_, {.name = "put_problems"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        RETURN_IF_ERROR(GetFileIn(txn, project, id).status());
        txn.exec_params(sql::kDeleteProblems, project, UuidOf(id));
        txn.exec_params(sql::kInsertProblems, project, UuidOf(id), ProblemsToJson(problems));
        return absl::OkStatus();
      });
}

absl::StatusOr<std::vector<Problem>> PgCurationStore::ListProblems(const std::string& project,
                                                                   const std::string& id,
                                                                   int64_t from, int limit) {
  return pg::Transact(
      pool_, {.name = "list_problems", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Problem>> {
        RETURN_IF_ERROR(GetFileIn(txn, project, id).status());
        std::vector<Problem> problems;
        for (const pqxx::row& row :
             txn.exec_params(sql::kListProblems, project, UuidOf(id), from, limit)) {
          using Severity = Problem::Severity;
          problems.push_back({row["line"].as<int64_t>(), row["field"].c_str(), row["code"].c_str(),
                              row["message"].c_str(),
                              row["is_error"].as<bool>() ? Severity::kError : Severity::kWarning});
        }
        return problems;
      });
}

}  // namespace crossover::curation
