// The Store in PostgreSQL, schema `evaluation`.
#pragma once

#include <memory>

#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

// Borrows the pool, whose search_path is the schema `evaluation`. Thread-safe.
std::unique_ptr<Store> NewPgStore(pg::Pool& pool);

// What `crossover migrate` applies.
pg::SchemaMigrations EvaluationMigrations();

}  // namespace crossover::evaluation
