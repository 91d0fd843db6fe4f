#include "bench/queue/job_copies.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace crossover::bench {
namespace {

constexpr char kColumns[] = R"(
SELECT string_agg(CASE column_name
         WHEN 'id' THEN '(lpad(to_hex(1700000000000 + n), 12, ''0'') || ''70008000'' || lpad(to_hex(n), 12, ''0''))::uuid'
         WHEN 'rank_time' THEN 'rank_time + n * interval ''1 millisecond'''
         ELSE quote_ident(column_name) END, ', ' ORDER BY ordinal_position)
  FROM information_schema.columns WHERE table_schema = 'scheduler' AND table_name = 'job')";

}  // namespace

void CopyJob(testing::PgDatabase& database, int64_t first, int64_t last) {
  const std::string columns = database.Query(kColumns);
  database.Execute(absl::StrCat("SET search_path = scheduler; INSERT INTO job SELECT ", columns,
                                " FROM (SELECT * FROM job WHERE state = 'QUEUED' LIMIT 1) j,"
                                " generate_series(",
                                first, ", ", last, ") AS n"));
  database.Execute("VACUUM ANALYZE scheduler.job");
}

}  // namespace crossover::bench
