#include "services/registry/storage/pg_rows.h"

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/id/uuid7.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/registry/domain/store_errors.h"
#include "services/registry/storage/embedded_sql.h"

namespace crossover::registry {
namespace {

absl::Time TimeOf(const pqxx::field& micros) { return absl::FromUnixMicros(micros.as<int64_t>()); }

std::optional<absl::Time> OptionalTime(const pqxx::field& micros) {
  if (micros.is_null()) return std::nullopt;
  return TimeOf(micros);
}

absl::Status Corrupt(const std::string& what) {
  return Error(absl::StatusCode::kDataLoss, "INTERNAL_ERROR", "the database holds " + what);
}

absl::StatusOr<Kind> KindFromName(const std::string& name) {
  for (Kind kind :
       {Kind::kProject, Kind::kTask, Kind::kPrompt, Kind::kUpstream, Kind::kCollection}) {
    if (Name(kind) == name) return kind;
  }
  return Corrupt("the unknown kind " + name);
}

}  // namespace

std::string UuidOf(const std::string& id) {
  return IdToUuid(id).value_or("00000000-0000-0000-0000-000000000000");
}

absl::StatusOr<Resource> ReadResource(const pqxx::row& row) {
  Resource resource;
  ASSIGN_OR_RETURN(resource.key.kind, KindFromName(row["kind"].c_str()));
  resource.key.project = row["project"].c_str();
  resource.key.parent = row["parent"].c_str();
  resource.key.id = row["id"].c_str();
  resource.create_time = TimeOf(row["create_us"]);
  resource.update_time = TimeOf(row["update_us"]);
  resource.revision = row["revision"].as<int64_t>();
  resource.state = row["state"].c_str();
  resource.state_reason = row["state_reason"].c_str();
  resource.document = row["document"].c_str();
  return resource;
}

absl::StatusOr<PromptVersion> ReadVersion(const pqxx::row& row) {
  PromptVersion version;
  version.prompt = {row["project"].c_str(), row["task"].c_str(), row["prompt"].c_str()};
  version.digest = row["digest"].c_str();
  version.create_time = TimeOf(row["create_us"]);
  version.update_time = TimeOf(row["update_us"]);
  version.activate_time = OptionalTime(row["activate_us"]);
  const std::optional<VersionState> state = VersionStateFromName(row["state"].c_str());
  if (!state.has_value()) return Corrupt(absl::StrCat("the unknown state ", row["state"].c_str()));
  version.state = *state;
  const nlohmann::json labels = nlohmann::json::parse(row["labels"].c_str(), nullptr, false);
  if (!labels.is_object()) return Corrupt("labels that are no JSON object");
  version.labels = labels.get<std::map<std::string, std::string>>();
  version.spec = row["spec"].c_str();
  version.parent = row["parent"].c_str();
  version.note = row["note"].c_str();
  version.evaluation = row["evaluation"].c_str();
  version.override_reason = row["override_reason"].c_str();
  return version;
}

absl::StatusOr<ApiKey> ReadKey(const pqxx::row& row) {
  ApiKey key;
  key.project = row["project"].c_str();
  ASSIGN_OR_RETURN(key.id, UuidToId(row["id"].c_str()));
  key.create_time = TimeOf(row["create_us"]);
  key.update_time = TimeOf(row["update_us"]);
  key.revision = row["revision"].as<int64_t>();
  key.revoked = row["revoked"].as<bool>();
  key.role = row["role"].as<int>();
  key.key_hash = row["key_hash"].c_str();
  key.prefix = row["prefix"].c_str();
  key.former_hash = row["former_hash"].c_str();
  key.former_expire_time = OptionalTime(row["former_expire_us"]);
  key.expire_time = OptionalTime(row["expire_us"]);
  key.document = row["document"].c_str();
  return key;
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

absl::StatusOr<std::string> NoteRequest(pqxx::transaction_base& txn, const std::string& project,
                                        const RequestKey& key, const std::string& resource) {
  if (key.id.empty()) return std::string();
  if (!txn.exec_params(sql::kInsertRequest, project, key.id, key.payload, resource).empty())
    return std::string();
  const pqxx::row earlier = txn.exec_params1(sql::kGetRequest, project, key.id);
  if (earlier["payload"].c_str() != key.payload) return RequestIdReused(key.id);
  return std::string(earlier["resource"].c_str());
}

absl::Status LockResource(pqxx::transaction_base& txn, const ResourceKey& key) {
  const pqxx::result rows = txn.exec_params(sql::kLockResource, std::string(Name(key.kind)),
                                            key.project, key.parent, key.id);
  return rows.empty() ? NotFound(Describe(key)) : absl::OkStatus();
}

}  // namespace crossover::registry
