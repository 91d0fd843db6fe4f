#include "services/data_curation/storage/pg_rows.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/id/uuid7.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/store_errors.h"
#include "services/data_curation/storage/embedded_sql.h"

namespace crossover::curation {
namespace {

absl::Time TimeOf(const pqxx::field& micros) { return absl::FromUnixMicros(micros.as<int64_t>()); }

template <typename T>
absl::StatusOr<T> Known(const std::optional<T>& value, const pqxx::field& field) {
  if (value.has_value()) return *value;
  return Error(absl::StatusCode::kDataLoss, "INTERNAL_ERROR",
               absl::StrCat("the database holds the unknown state `", field.c_str(), "`"));
}

}  // namespace

std::string UuidOf(const std::string& id) {
  return IdToUuid(id).value_or("00000000-0000-0000-0000-000000000000");
}

absl::StatusOr<FileRecord> ReadFile(const pqxx::row& row) {
  FileRecord file;
  file.project = row["project"].c_str();
  ASSIGN_OR_RETURN(file.id, UuidToId(row["id"].c_str()));
  file.create_time = TimeOf(row["create_us"]);
  file.update_time = TimeOf(row["update_us"]);
  file.revision = row["revision"].as<int64_t>();
  file.filename = row["filename"].c_str();
  file.purpose = row["purpose"].c_str();
  file.size_bytes = row["size_bytes"].as<int64_t>();
  file.sha256 = row["sha256"].c_str();
  ASSIGN_OR_RETURN(file.state, Known(FileStateFromName(row["state"].c_str()), row["state"]));
  file.state_reason = row["state_reason"].c_str();
  RETURN_IF_ERROR(DetailsFromJson(row["details"].c_str(), file));
  return file;
}

absl::StatusOr<DatasetRecord> ReadDataset(const pqxx::row& row) {
  DatasetRecord dataset;
  dataset.project = row["project"].c_str();
  dataset.id = row["id"].c_str();
  dataset.create_time = TimeOf(row["create_us"]);
  dataset.update_time = TimeOf(row["update_us"]);
  dataset.revision = row["revision"].as<int64_t>();
  dataset.task = row["task"].c_str();
  dataset.current_version = row["current_version"].c_str();
  RETURN_IF_ERROR(DetailsFromJson(row["details"].c_str(), dataset));
  return dataset;
}

absl::StatusOr<RunRecord> ReadRun(const pqxx::row& row) {
  RunRecord run;
  run.project = row["project"].c_str();
  run.dataset = row["dataset"].c_str();
  ASSIGN_OR_RETURN(run.id, UuidToId(row["id"].c_str()));
  run.create_time = TimeOf(row["create_us"]);
  run.update_time = TimeOf(row["update_us"]);
  if (!row["finish_us"].is_null()) run.finish_time = TimeOf(row["finish_us"]);
  run.revision = row["revision"].as<int64_t>();
  ASSIGN_OR_RETURN(run.state, Known(RunStateFromName(row["state"].c_str()), row["state"]));
  run.state_reason = row["state_reason"].c_str();
  run.error_reason = row["error_reason"].c_str();
  run.recipe_digest = row["recipe_digest"].c_str();
  run.dataset_version = row["dataset_version"].c_str();
  run.lease_epoch = row["lease_epoch"].as<int64_t>();
  RETURN_IF_ERROR(DetailsFromJson(row["details"].c_str(), run));
  return run;
}

absl::StatusOr<VersionRecord> ReadVersion(const pqxx::row& row) {
  VersionRecord version;
  version.project = row["project"].c_str();
  version.dataset = row["dataset"].c_str();
  version.digest = row["digest"].c_str();
  version.create_time = TimeOf(row["create_us"]);
  version.run = row["run"].c_str();
  version.task = row["task"].c_str();
  version.artifact_digest = row["artifact_digest"].c_str();
  RETURN_IF_ERROR(DetailsFromJson(row["details"].c_str(), version));
  return version;
}

absl::StatusOr<TombstoneRecord> ReadTombstone(const pqxx::row& row) {
  TombstoneRecord tombstone;
  tombstone.project = row["project"].c_str();
  ASSIGN_OR_RETURN(tombstone.id, UuidToId(row["id"].c_str()));
  tombstone.create_time = TimeOf(row["create_us"]);
  tombstone.row_digest = row["row_digest"].c_str();
  tombstone.subject = row["subject"].c_str();
  tombstone.reason = row["reason"].c_str();
  return tombstone;
}

absl::StatusOr<Position> ParsePosition(const std::string& after) {
  if (after.empty()) return Position{};
  const size_t slash = after.find('/');
  int64_t micros = 0;
  if (slash == std::string::npos || !absl::SimpleAtoi(after.substr(0, slash), &micros)) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", "page_token is damaged");
  }
  return Position{absl::StrCat(micros), after.substr(slash + 1)};
}

std::string MakePosition(absl::Time create_time, const std::string& key) {
  return absl::StrCat(absl::ToUnixMicros(create_time), "/", key);
}

absl::StatusOr<std::string> EarlierRequest(pqxx::transaction_base& txn, const std::string& project,
                                           const RequestKey& key) {
  if (key.id.empty()) return std::string();
  const pqxx::result earlier = txn.exec_params(sql::kGetRequest, project, key.id);
  if (earlier.empty()) return std::string();
  if (earlier[0]["payload"].c_str() != key.payload) return RequestIdReused(key.id);
  return std::string(earlier[0]["resource"].c_str());
}

absl::StatusOr<std::string> NoteRequest(pqxx::transaction_base& txn, const std::string& project,
                                        const RequestKey& key, const std::string& resource) {
  if (key.id.empty()) return std::string();
  if (!txn.exec_params(sql::kInsertRequest, project, key.id, key.payload, resource).empty())
    return std::string();
  return EarlierRequest(txn, project, key);
}

}  // namespace crossover::curation
