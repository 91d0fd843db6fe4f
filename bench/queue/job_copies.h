// Long queues in little time: one real job, copied by SQL.
#pragma once

#include <cstdint>

#include "common/testing/pg_fixture.h"

namespace crossover::bench {

// Adds copies number `first` to `last` of one of the QUEUED jobs there are, each a millisecond
// later in rank, with ids that rise as UUIDv7 do. Then lets Postgres tidy up.
void CopyJob(testing::PgDatabase& database, int64_t first, int64_t last);

}  // namespace crossover::bench
