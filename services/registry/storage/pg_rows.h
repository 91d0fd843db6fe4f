// Private to the registry's storage: rows of the database as records, and what several queries
// share.
#pragma once

#include <pqxx/pqxx>

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/registry/domain/registry_store.h"

namespace crossover::registry {

absl::StatusOr<Resource> ReadResource(const pqxx::row& row);
absl::StatusOr<PromptVersion> ReadVersion(const pqxx::row& row);
absl::StatusOr<ApiKey> ReadKey(const pqxx::row& row);

// The hyphenated form of an id; a text that is no id becomes the nil UUID, which no row has.
std::string UuidOf(const std::string& id);

// Where a page begins: "<microseconds>/<key>".
struct Position {
  std::string micros = "0";
  std::string key;
};
absl::StatusOr<Position> ParsePosition(const std::string& after);
std::string MakePosition(absl::Time create_time, const std::string& key);

// Notes the request. "" if it is new; else the resource that the earlier one made. InvalidArgument
// REQUEST_ID_REUSED.
absl::StatusOr<std::string> NoteRequest(pqxx::transaction_base& txn, const std::string& project,
                                        const RequestKey& key, const std::string& resource);

// NotFound unless the resource is there; keeps it from being deleted until the transaction ends.
absl::Status LockResource(pqxx::transaction_base& txn, const ResourceKey& key);

}  // namespace crossover::registry
