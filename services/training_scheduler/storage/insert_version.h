// Registers a model version, or uses a request_id, inside a transaction that somebody else began.
// Private to this room.
#pragma once

#include <optional>
#include <pqxx/pqxx>
#include <string>

#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/model.h"
#include "services/training_scheduler/domain/request_key.h"

namespace crossover::scheduler {

// Holds the model's row until the transaction ends, and makes it if there is none. The kind of its
// versions; nullopt while it has none.
std::optional<ModelKind> LockModel(pqxx::transaction_base& txn, const std::string& project,
                                   const std::string& model);

// Adds the version and its model, whatever its kind, taking the alias from whoever had it. A
// version that exists stays as it is, but for an alias if it has none. Returns the alias it has
// now.
std::string InsertVersion(pqxx::transaction_base& txn, const ModelVersion& version);

// Notes that `key` was used. REQUEST_ID_REUSED for another payload; false: a repeat.
absl::StatusOr<bool> UseRequest(pqxx::transaction_base& txn, const std::string& project,
                                const RequestKey& key, const std::string& model = "",
                                const std::string& digest = "");

}  // namespace crossover::scheduler
