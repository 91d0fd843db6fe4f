// Registers a model version inside a transaction that somebody else began. Private to this room.
#pragma once

#include <pqxx/pqxx>

#include "services/training_scheduler/domain/model.h"

namespace crossover::scheduler {

// Adds the version and its model, taking the alias from whoever had it. A version that exists stays
// as it is.
void InsertVersion(pqxx::transaction_base& txn, const ModelVersion& version);

}  // namespace crossover::scheduler
