// What the module sees of the storage room: no pqxx, no SQL.
#pragma once

#include <memory>

#include "common/pg/migration.h"
#include "common/pg/pool.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// Borrows the pool.
std::unique_ptr<RouterStore> NewPgRouterStore(pg::Pool& pool);

// Of schema `router`.
pg::SchemaMigrations RouterMigrations();

}  // namespace crossover::router
