#include "services/shadow_router/storage/storage.h"

#include "services/shadow_router/storage/embedded_sql.h"
#include "services/shadow_router/storage/pg_router_store.h"

namespace crossover::router {

std::unique_ptr<RouterStore> NewPgRouterStore(pg::Pool& pool) {
  return std::make_unique<PgRouterStore>(pool);
}

pg::SchemaMigrations RouterMigrations() { return Migrations(); }

}  // namespace crossover::router
