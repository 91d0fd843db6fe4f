#include <gtest/gtest.h>

#include <thread>

#include "common/log/fake_logger.h"
#include "common/pg/migration.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"

namespace crossover::pg {
namespace {

using ::testing::HasSubstr;

class MigratorTest : public ::testing::Test {
 protected:
  const Migration first_{1, "0001_job.sql", "CREATE TABLE job (id int); CREATE INDEX ON job (id);"};
  const Migration second_{2, "0002_state.sql", "ALTER TABLE job ADD COLUMN state text"};
  testing::PgDatabase db_;
  FakeLogger logger_;
};

TEST_F(MigratorTest, AppliesWhatIsMissingAndOnlyOnce) {
  EXPECT_THAT(Migrate(db_.dsn(), {"scheduler", {first_}}, logger_), IsOkAndHolds(1));
  EXPECT_THAT(Migrate(db_.dsn(), {"scheduler", {first_, second_}}, logger_), IsOkAndHolds(1));
  EXPECT_THAT(Migrate(db_.dsn(), {"scheduler", {first_, second_}}, logger_), IsOkAndHolds(0));
  EXPECT_EQ(db_.Query("SELECT count(*) FROM scheduler.job WHERE state IS NULL"), "0");
  EXPECT_OK(VerifyMigrations(db_.dsn(), {"scheduler", {first_, second_}}));
}

TEST_F(MigratorTest, VerifySaysWhatToRunAndNeverRunsIt) {
  const absl::Status status = VerifyMigrations(db_.dsn(), {"scheduler", {first_}});
  EXPECT_THAT(status, HasReasonThat("SCHEMA_OUTDATED"));
  EXPECT_THAT(status.ToString(), HasSubstr("crossover migrate"));
  EXPECT_EQ(db_.Query("SELECT to_regnamespace('scheduler')"), "");
}

TEST_F(MigratorTest, AChangedFileIsRefused) {
  ASSERT_OK(Migrate(db_.dsn(), {"s", {first_}}, logger_));
  const Migration changed{1, "0001_job.sql", "CREATE TABLE job (id bigint)"};
  EXPECT_THAT(Migrate(db_.dsn(), {"s", {changed}}, logger_), HasReasonThat("MIGRATION_CHANGED"));
  EXPECT_THAT(VerifyMigrations(db_.dsn(), {"s", {changed}}), HasReasonThat("MIGRATION_CHANGED"));
}

TEST_F(MigratorTest, ADatabaseFromTheFutureIsRefused) {
  ASSERT_OK(Migrate(db_.dsn(), {"s", {first_, second_}}, logger_));
  EXPECT_THAT(VerifyMigrations(db_.dsn(), {"s", {first_}}), HasReasonThat("SCHEMA_TOO_NEW"));
}

TEST_F(MigratorTest, AFailingMigrationLeavesNothingAndNamesItsFile) {
  const Migration broken{2, "0002_broken.sql", "CREATE TABLE half (id int); SELECT nonsense;"};
  const auto result = Migrate(db_.dsn(), {"s", {first_, broken}}, logger_);
  EXPECT_THAT(result.status().ToString(), HasSubstr("0002_broken.sql"));
  EXPECT_EQ(db_.Query("SELECT to_regclass('s.half')"), "");
  EXPECT_OK(VerifyMigrations(db_.dsn(), {"s", {first_}}));
}

TEST_F(MigratorTest, SeveralAtOnceApplyEachFileOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> applied = 0;
  std::atomic<int> failed = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      FakeLogger logger;
      const auto count = Migrate(db_.dsn(), {"s", {first_, second_}}, logger);
      count.ok() ? applied += *count : ++failed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(applied, 2);
  EXPECT_EQ(failed, 0);
}

TEST_F(MigratorTest, TemplateDatabasesHaveTheirSchemas) {
  testing::PgDatabase db({{"s", {first_, second_}}});
  EXPECT_OK(VerifyMigrations(db.dsn(), {"s", {first_, second_}}));
}

}  // namespace
}  // namespace crossover::pg
