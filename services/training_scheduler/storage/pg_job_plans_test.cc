// What Postgres reads to answer what is asked with each job that is created or looked at: an index,
// not the table, however long the queue and the history are.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/job_row.h"
#include "services/training_scheduler/storage/pg_job_store.h"

namespace crossover::scheduler {
namespace {

class PgJobPlansTest : public ::testing::Test {
 protected:
  // 2,000 jobs that wait in each of two queues, and 20,000 that have ended, three of them on a
  // base.
  PgJobPlansTest() {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    absl::StatusOr<Job> added =
        store_.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
          Validated validated;
          validated.inputs.base_digest = "sha256:other";
          return Accept(mine, validated, Dependencies::kMet, now, effects);
        });
    EXPECT_OK(added);
    added_ = *added;
    database_.Execute(
        "SET search_path = scheduler;"
        "CREATE TEMP TABLE copy AS SELECT * FROM job;"
        "INSERT INTO job SELECT (c).* FROM (SELECT jsonb_populate_record(copy, jsonb_build_object("
        "'id', gen_random_uuid(), 'state', CASE WHEN n > 4000 THEN 'SUCCEEDED' ELSE 'QUEUED' END,"
        "'queue', CASE WHEN n % 2 = 0 THEN 'default' ELSE 'gpu' END,"
        "'finish_time', CASE WHEN n > 4000 THEN now() END,"
        "'base_digest', CASE WHEN n > 23997 THEN 'sha256:base' ELSE 'sha256:other' END,"
        "'report', '{\"actual\": {\"tokens\": 100, \"seconds\": 5}}'::jsonb,"
        "'rank_time', now() - n * interval '1 second')) AS c"
        " FROM copy, generate_series(1, 24000) AS n) AS s;"
        "ANALYZE job;");
  }

  // Rows of job that the statement has read one after another.
  std::string ReadOneByOne(const std::string& sql, const std::string& arguments) {
    return database_.Query(
        absl::StrCat("SET search_path = scheduler;"
                     "PREPARE asked AS ",
                     sql, "; EXECUTE asked(", arguments,
                     ");"
                     "SELECT pg_stat_get_xact_tuples_returned('job'::regclass)"));
  }

  crossover::testing::PgDatabase database_{{Migrations()}};
  std::unique_ptr<pg::Pool> pool_ = database_.NewPool("scheduler");
  FakeLogger logger_;
  PgJobStore store_{*pool_, logger_};
  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
  Job added_;
};

TEST_F(PgJobPlansTest, AQueuePositionIsCountedInTheIndexAndNotBeyondAThousand) {
  EXPECT_EQ(ReadOneByOne(sql::kQueuePosition, absl::StrCat("'", Uuid(added_.id), "', 1000")), "0");
  EXPECT_EQ(*store_.QueuePosition(added_), 1001);
  const std::string uuid = database_.Query(
      "SELECT id FROM scheduler.job WHERE state = 'QUEUED' AND queue = 'default'"
      " ORDER BY rank_time OFFSET 7 LIMIT 1");
  Job eighth = added_;
  eighth.id = *UuidToId(uuid);
  EXPECT_EQ(*store_.QueuePosition(eighth), 8);
}

TEST_F(PgJobPlansTest, TheSpeedOnABaseIsReadFromTheJobsOnIt) {
  EXPECT_EQ(ReadOneByOne(sql::kMeasuredRate, "'sha256:base'"), "0");
  EXPECT_EQ(store_.Rate("sha256:base")->jobs, 3);
  EXPECT_EQ(store_.Rate("sha256:base")->tokens_per_second, 20);
  EXPECT_EQ(store_.Rate("sha256:other")->jobs, 50);
}

TEST_F(PgJobPlansTest, APreemptionIsLookedForAmongTheFirstOfEachProject) {
  database_.Execute(
      "UPDATE scheduler.job SET priority = 50 WHERE id = (SELECT id FROM scheduler.job"
      " WHERE state = 'QUEUED' LIMIT 1)");
  EXPECT_EQ(ReadOneByOne(sql::kFindPreemption, "0, 20"), "0");
}

}  // namespace
}  // namespace crossover::scheduler
