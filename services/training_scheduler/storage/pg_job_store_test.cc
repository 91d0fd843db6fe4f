// What only Postgres can show: constraints, notifications, leadership.
#include "services/training_scheduler/storage/pg_job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"
#include "common/id/uuid7.h"
#include "common/log/fake_logger.h"
#include "common/pg/listener.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "services/training_scheduler/domain/state_machine.h"
#include "services/training_scheduler/storage/embedded_sql.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

class PgJobStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<Job> Add() {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    return store_.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
      return Accept(mine, {}, Dependencies::kMet, now, effects);
    });
  }

  crossover::testing::PgDatabase database_{{Migrations()}};
  std::unique_ptr<pg::Pool> pool_ = database_.NewPool("scheduler");
  std::atomic<int> owed_ = 0;
  PgJobStore store_{*pool_, [this] { ++owed_; }};
  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
};

TEST_F(PgJobStoreTest, TheSchemaRefusesALeasedStateWithoutALeaseAndAnEndWithoutATime) {
  ASSERT_OK_AND_ASSIGN(Job job, Add());
  for (int i = 0; i <= static_cast<int>(JobState::kCancelled); ++i) {
    const auto state = static_cast<JobState>(i);
    const absl::Status status = store_.Update(job.id, [&](Job& mine, absl::Time, Effects&) {
      mine.state = state;
      return absl::OkStatus();
    }).status();
    if (IsLeased(state)) {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition)) << Name(state);
      EXPECT_EQ(DetailOf(status).metadata["constraint"], "leased_means_a_lease_is_recorded");
    } else if (IsTerminal(state)) {
      EXPECT_EQ(DetailOf(status).metadata["constraint"], "terminal_means_finished") << Name(state);
    } else {
      EXPECT_OK(status) << Name(state);
    }
  }
}

TEST_F(PgJobStoreTest, AWorkersEventIsStoredOnceEvenIfTheDomainWereWrong) {
  ASSERT_OK_AND_ASSIGN(Job job, Add());
  const auto say = [&] {
    return store_.Update(job.id, [](Job&, absl::Time, Effects& effects) {
      JobEvent event;
      event.epoch = 1;
      event.worker_seq = 7;
      effects.events.push_back(event);
      return absl::OkStatus();
    });
  };
  EXPECT_OK(say());
  const absl::Status again = say().status();
  EXPECT_EQ(DetailOf(again).metadata["constraint"], "a_worker_says_everything_once");
}

TEST_F(PgJobStoreTest, CreationNotifiesAndABurstIsJoined) {
  FakeLogger logger;
  std::atomic<int> heard = 0;
  absl::Notification connected;
  auto listener = pg::Listener::Start(
      {.dsn = database_.dsn(), .channels = {"crossover_job"}},
      [&](std::string_view, std::string_view) {
        if (heard++ == 0) connected.Notify();  // the first call says that it listens
      },
      logger);
  connected.WaitForNotification();
  for (int i = 0; i < 20; ++i) ASSERT_OK(Add());
  EXPECT_GT(owed_.load(), 0);
  ASSERT_OK(store_.FlushNotify());
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (heard.load() < 3 && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_GE(heard.load(), 3);   // connection, first job, what was owed
  EXPECT_LT(heard.load(), 15);
}

TEST_F(PgJobStoreTest, OnlyOneSchedulerLeads) {
  PgJobStore other(*pool_);
  bool other_ran = false;
  EXPECT_OK(store_.AsLeader([&] {
    return other.AsLeader([&] {
      other_ran = true;
      return absl::OkStatus();
    });
  }));
  EXPECT_FALSE(other_ran);
  EXPECT_OK(other.AsLeader([&] {
    other_ran = true;
    return absl::OkStatus();
  }));
  EXPECT_TRUE(other_ran);
}

TEST_F(PgJobStoreTest, ClaimsUseTheirIndex) {
  database_.Execute("SET search_path = scheduler; ANALYZE job;");
  const std::string plan = database_.Query(
      "SET search_path = scheduler; SET enable_seqscan = off; EXPLAIN (FORMAT JSON) SELECT id FROM job WHERE state = 'QUEUED' "
      "ORDER BY rank_time, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED");
  EXPECT_THAT(plan, HasSubstr("job_claim"));
}

}  // namespace
}  // namespace crossover::scheduler
