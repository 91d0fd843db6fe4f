#include "services/platform/postgres.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log/fake_logger.h"
#include "common/pg/pool.h"
#include "common/process/spawn.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::platform {
namespace {

using ::testing::HasSubstr;

class PostgresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto folder = DataFolder::Open(dir_ / "data");
    ASSERT_OK(folder);
    folder_ = *std::move(folder);
  }
  absl::StatusOr<std::unique_ptr<Postgres>> Start(PostgresOptions options = {}) {
    return Postgres::Start(options, *folder_, SystemClock(), logger_, registry_);
  }
  absl::Status Ping(const Postgres& postgres) {
    auto pool = pg::Pool::Create({.dsn = postgres.dsn()}, SystemClock());
    return pool.ok() ? (*pool)->Ping() : pool.status();
  }

  testing::TempDir dir_;
  FakeLogger logger_;
  metrics::Registry registry_{"test"};
  std::unique_ptr<DataFolder> folder_;
};

TEST_F(PostgresTest, IsMadeOnceStopsCleanlyAndStartsAgain) {
  {
    ASSERT_OK_AND_ASSIGN(auto postgres, Start());
    EXPECT_OK(Ping(*postgres));
  }
  EXPECT_FALSE(std::filesystem::exists(dir_ / "data/postgres/data/postmaster.pid"));
  ASSERT_OK_AND_ASSIGN(auto postgres, Start());
  EXPECT_OK(Ping(*postgres));
  EXPECT_EQ(logger_.Events("postgres_initialising").size(), 1u);
}

TEST_F(PostgresTest, IsRestartedWhenKilled) {
  ASSERT_OK_AND_ASSIGN(auto postgres, Start());
  const pid_t first = postgres->pid();
  ::kill(first, SIGKILL);
  for (int i = 0; i < 4000 && (postgres->pid() == first || !Ping(*postgres).ok()); ++i) {
    SystemClock().SleepFor(absl::Milliseconds(10));
  }
  EXPECT_OK(Ping(*postgres));
  EXPECT_GE(postgres->restarts(), 1);
}

TEST_F(PostgresTest, APidFileWhoseNumberAnotherProcessGotIsNoServer) {
  ASSERT_OK(Start());  // and stopped
  // Of the server's own user: only such a process makes Postgres believe the file.
  ASSERT_OK_AND_ASSIGN(const pid_t other, Spawn({.argv = {"/bin/sleep", "300"},
                                                 .user = ::getuid() == 0 ? "postgres" : "",
                                                 .parent_death_signal = SIGKILL}));
  testing::WriteFile(dir_ / "data/postgres/data/postmaster.pid", std::to_string(other) + "\n");
  const auto postgres = Start();
  EXPECT_OK(postgres);
  EXPECT_EQ(logger_.Events("postgres_stale_pid_file").size(), 1u);
  if (postgres.ok()) EXPECT_OK(Ping(**postgres));
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
}

TEST_F(PostgresTest, NotInstalledSaysWhatToInstall) {
  const absl::Status status = Start({.binaries = "/nonexistent"}).status();
  EXPECT_THAT(status, HasReasonThat("POSTGRES_NOT_INSTALLED"));
  EXPECT_THAT(status.ToString(), HasSubstr("apt-get install postgresql-15"));
}

TEST_F(PostgresTest, HalfOfAClusterIsMadeAgain) {
  testing::WriteFile(dir_ / "data/postgres/data.partial/PG_VERSION", "15\n");
  ASSERT_OK_AND_ASSIGN(auto postgres, Start());
  EXPECT_OK(Ping(*postgres));
}

TEST_F(PostgresTest, ADamagedClusterIsReportedWithTheEndOfItsLog) {
  testing::WriteFile(dir_ / "data/postgres/data/PG_VERSION", "9.1\n");
  const absl::Status status = Start({.start_timeout = absl::Seconds(10)}).status();
  EXPECT_THAT(status, HasReasonThat("POSTGRES_NOT_STARTED"));
  EXPECT_THAT(status.ToString(), HasSubstr("postgres.log"));
}

}  // namespace
}  // namespace crossover::platform
