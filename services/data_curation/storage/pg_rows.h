// Private to curation's storage: rows of the database as records, and what several queries share.
#pragma once

#include <pqxx/pqxx>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/data_curation/domain/curation_store.h"

namespace crossover::curation {

absl::StatusOr<FileRecord> ReadFile(const pqxx::row& row);
absl::StatusOr<DatasetRecord> ReadDataset(const pqxx::row& row);
absl::StatusOr<RunRecord> ReadRun(const pqxx::row& row);
absl::StatusOr<VersionRecord> ReadVersion(const pqxx::row& row);
absl::StatusOr<TombstoneRecord> ReadTombstone(const pqxx::row& row);

// The hyphenated form of an id; a text that is no id becomes the nil UUID, which no row has.
std::string UuidOf(const std::string& id);

// Where a page begins: "<microseconds>/<key>".
struct Position {
  std::string micros = "0";
  std::string key;
};
absl::StatusOr<Position> ParsePosition(const std::string& after);
std::string MakePosition(absl::Time create_time, const std::string& key);

// What an earlier request with this key made, "" if there was none. InvalidArgument
// REQUEST_ID_REUSED.
absl::StatusOr<std::string> EarlierRequest(pqxx::transaction_base& txn, const std::string& project,
                                           const RequestKey& key);

// Notes the request. "" if it is new; else the resource that the earlier one made. InvalidArgument
// REQUEST_ID_REUSED.
absl::StatusOr<std::string> NoteRequest(pqxx::transaction_base& txn, const std::string& project,
                                        const RequestKey& key, const std::string& resource);

}  // namespace crossover::curation
