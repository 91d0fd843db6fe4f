// What only Postgres can show: constraints, notifications, leadership.
#include "services/training_scheduler/storage/pg_job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/id/uuid7.h"
#include "common/json/digest.h"
#include "common/log/fake_logger.h"
#include "common/pg/listener.h"
#include "common/process/spawn.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/state_machine.h"
#include "services/training_scheduler/storage/embedded_sql.h"

namespace crossover::scheduler {
namespace {

class PgJobStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<Job> AddTo(PgJobStore& store) {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    return store.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
      return Accept(mine, {}, Dependencies::kMet, now, effects);
    });
  }
  absl::StatusOr<Job> Add() { return AddTo(store_); }

  crossover::testing::PgDatabase database_{{Migrations()}};
  std::unique_ptr<pg::Pool> pool_ = database_.NewPool("scheduler");
  FakeLogger logger_;
  PgJobStore store_{*pool_, logger_};
  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
};

TEST_F(PgJobStoreTest, TheSchemaRefusesALeasedStateWithoutALeaseAndAnEndWithoutATime) {
  ASSERT_OK_AND_ASSIGN(Job job, Add());
  for (int i = 0; i <= static_cast<int>(JobState::kCancelled); ++i) {
    const auto state = static_cast<JobState>(i);
    const absl::Status status = store_
                                    .Update(job.id,
                                            [&](Job& mine, absl::Time, Effects&) {
                                              mine.state = state;
                                              return absl::OkStatus();
                                            })
                                    .status();
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
  FakeClock clock;  // stands still: everything falls within one gap
  std::unique_ptr<pg::Pool> pool = database_.NewPool("scheduler", 2, clock);
  int owed = 0;
  PgJobStore store(*pool, logger_, [&] { ++owed; });
  std::atomic<int> heard = 0;
  absl::Notification connected;
  auto listener = pg::Listener::Start(
      {.dsn = database_.dsn(), .channels = {"crossover_job"}},
      [&](std::string_view, std::string_view) {
        if (heard++ == 0) connected.Notify();  // the first call says that it listens
      },
      logger);
  connected.WaitForNotification();
  for (int i = 0; i < 20; ++i) ASSERT_OK(AddTo(store));
  EXPECT_EQ(owed, 19);
  ASSERT_OK(store.FlushNotify());
  ASSERT_OK(store.FlushNotify());  // nothing is owed any more
  const absl::Duration give_up = SystemClock().SteadyNow() + absl::Seconds(30);
  while (heard.load() < 3 && SystemClock().SteadyNow() < give_up) {
    SystemClock().SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(heard.load(), 3);  // the connection, the first job, what was owed
}

// What docs/operations.md says of back-up and restore, with a queue at work.
TEST_F(PgJobStoreTest, ARestoredDumpGoesOnWhereItStood) {
  const std::string secret = "00112233445566778899aabbccddeeff";
  ASSERT_OK(Add());
  ASSERT_OK(Add());
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed,
                       store_.Claim({.capabilities = {},
                                     .ttl = absl::Seconds(30),
                                     .claimants = {{"w", "i", DigestOf(secret)}},
                                     .project = ""}));
  const LeaseToken token{claimed.at(0).id, claimed.at(0).lease_epoch, secret};
  const crossover::testing::TempDir folder;
  const std::string dump = (folder / "crossover.dump").string();
  const std::string binaries = "/usr/lib/postgresql/15/bin/";
  ASSERT_EQ(*RunToEnd({.argv = {binaries + "pg_dump", "-Fc", "-f", dump, "-d", database_.dsn()}}),
            0);
  crossover::testing::PgDatabase restored;
  ASSERT_EQ(*RunToEnd({.argv = {binaries + "pg_restore", "-d", restored.dsn(), dump}}), 0);
  ASSERT_OK(pg::VerifyMigrations(restored.dsn(), Migrations()));

  std::unique_ptr<pg::Pool> pool = restored.NewPool("scheduler");
  PgJobStore store(*pool, logger_);
  ASSERT_OK_AND_ASSIGN(std::vector<Job> jobs, store_.List({.project = "default"}));
  ASSERT_THAT(jobs, ::testing::SizeIs(2));
  for (const Job& job : jobs) {
    ASSERT_OK_AND_ASSIGN(Job copy, store.Get(job.id));
    EXPECT_EQ(copy.state, job.state);
    EXPECT_EQ(copy.revision, job.revision);
    EXPECT_EQ(store.Events(job.id, 0, 100)->size(), store_.Events(job.id, 0, 100)->size());
  }
  EXPECT_OK(store.Update(token.job, [&](Job& job, absl::Time now, Effects& effects) {
    return Complete(job, token, Outcome{}, RetryPolicy{}, now, effects);
  }));
  EXPECT_THAT(*store.Claim({.capabilities = {},
                            .ttl = absl::Seconds(30),
                            .claimants = {{"w", "i", "hash"}},
                            .project = ""}),
              ::testing::SizeIs(1));
}

// While schedulers of two versions run: what the later one has added to a job, the earlier one
// neither trips over nor removes from what was resolved.
TEST_F(PgJobStoreTest, WhatALaterVersionHasAddedToAJobIsLeftAlone) {
  ASSERT_OK_AND_ASSIGN(Job job, Add());
  database_.Execute(R"(UPDATE scheduler.job SET plan = plan::jsonb || '{"later": {"a": 1}}',)"
                    R"( report = report::jsonb || '{"later": 2}')");
  ASSERT_OK(store_.Update(job.id, [](Job& mine, absl::Time now, Effects& effects) {
    return Pause(mine, now, effects);
  }));
  EXPECT_EQ(store_.Get(job.id)->state, JobState::kPaused);
  EXPECT_EQ(database_.Query("SELECT plan->'later'->>'a' FROM scheduler.job"), "1");
}

// A store that knows a job's plan does not read it again; what it gives out is the same.
TEST_F(PgJobStoreTest, AKeptPlanIsTheStoredOne) {
  Job job;
  job.id = ids_.NextId();
  job.project = "default";
  job.spec.training.suffix = "mine";
  ASSERT_OK(store_.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
    Validated validated;
    validated.inputs.base_digest = "sha256:base";
    validated.resolved.steps = 77;
    validated.resolved.sources["epochs"] = {false, "by a rule"};
    validated.estimate.tokens = 5;
    return Accept(mine, validated, Dependencies::kMet, now, effects);
  }));
  PgJobStore other(*pool_, logger_);
  const auto pause_and_resume = [&](PgJobStore& store) -> absl::StatusOr<Job> {
    EXPECT_OK(store.Update(job.id, [](Job& mine, absl::Time now, Effects& effects) {
      return Pause(mine, now, effects);
    }));
    return store.Update(job.id, [](Job& mine, absl::Time now, Effects& effects) {
      return Resume(mine, Dependencies::kMet, now, effects);
    });
  };
  ASSERT_OK(pause_and_resume(store_));
  // Whoever has read it once has it still.
  database_.Execute("UPDATE scheduler.job SET spec = '{}', plan = '{}'");
  ASSERT_OK_AND_ASSIGN(Job kept, pause_and_resume(store_));
  EXPECT_EQ(kept.spec.training.suffix, "mine");
  EXPECT_EQ(kept.resolved.steps, 77);
  EXPECT_EQ(kept.resolved.sources.at("epochs").rule, "by a rule");
  EXPECT_EQ(kept.inputs.base_digest, "sha256:base");
  EXPECT_EQ(kept.estimate.tokens, 5);
  ASSERT_OK_AND_ASSIGN(Job read, pause_and_resume(other));
  EXPECT_EQ(read.spec.training.suffix, "");
  EXPECT_EQ(read.resolved.steps, 0);
}

TEST_F(PgJobStoreTest, AClaimedJobThatCannotBeReadIsLoggedAndLeavesTheOthersTheirLeases) {
  ASSERT_OK_AND_ASSIGN(const Job broken, Add());
  ASSERT_OK_AND_ASSIGN(const Job sound, Add());
  const auto break_report = [&](const Job& job) {
    database_.Execute(
        absl::StrCat("UPDATE scheduler.job SET report = '{\"log_tail\": 3}' WHERE id = '",
                     *IdToUuid(job.id), "'"));
  };
  const auto claim = [&] {
    return store_.Claim({.capabilities = {},
                         .ttl = absl::Seconds(30),
                         .claimants = {{"w", "i", "hash-1"}, {"w", "i", "hash-2"}},
                         .project = ""});
  };
  break_report(broken);
  ASSERT_OK_AND_ASSIGN(const std::vector<Job> claimed, claim());
  ASSERT_THAT(claimed, ::testing::SizeIs(1));
  EXPECT_EQ(claimed[0].id, sound.id);
  ASSERT_TRUE(claimed[0].lease.has_value());
  std::vector<FakeLogger::Entry> logged = logger_.Events("claimed_job_unreadable");
  ASSERT_THAT(logged, ::testing::SizeIs(1));
  EXPECT_EQ(logged[0].Field("job"), broken.id);
  EXPECT_THAT(logged[0].Field("error").value_or(""), ::testing::HasSubstr("report"));

  // Where none can be read, the caller is told.
  ASSERT_OK_AND_ASSIGN(const Job alone, Add());
  break_report(alone);
  EXPECT_THAT(claim(), StatusIs(absl::StatusCode::kInternal, ::testing::HasSubstr("report")));
  EXPECT_THAT(logger_.Events("claimed_job_unreadable"), ::testing::SizeIs(2));
  EXPECT_THAT(*claim(), ::testing::IsEmpty());
}

TEST(KnownJobsTest, AJobThatIsValidatingOrHasEndedIsNotKeptAndTheOneKeptLongestAgoGoesFirst) {
  KnownJobs known(2);
  const auto keep = [&](const char* id, JobState state, const char* version) {
    Job job;
    job.id = id;
    job.state = state;
    known.Keep(std::move(job), version);
  };
  keep("a", JobState::kValidating, "1");
  EXPECT_EQ(known.Find("a"), nullptr);
  keep("a", JobState::kQueued, "2");
  keep("b", JobState::kRunning, "3");
  keep("a", JobState::kRunning, "4");  // again, so b is the oldest now
  EXPECT_EQ(known.Find("a")->version, "4");
  keep("c", JobState::kQueued, "5");
  EXPECT_EQ(known.Find("b"), nullptr);
  keep("d", JobState::kSucceeded, "6");
  EXPECT_EQ(known.Find("d"), nullptr);
  EXPECT_NE(known.Find("a"), nullptr);
}

TEST(KnownJobsTest, OnlyAllTogetherAreTakenAndOnlyWhoseRowsAreKnown) {
  KnownJobs known(10);
  const auto keep = [&](const char* id, const char* version) {
    Job job;
    job.id = id;
    job.state = JobState::kRunning;
    job.worker = id;
    known.Keep(std::move(job), version);
  };
  keep("a", "1");
  keep("b", "2");
  keep("c", "");
  EXPECT_THAT(known.Take(std::vector<JobId>{"a", "x"}), ::testing::IsEmpty());
  EXPECT_THAT(known.Take(std::vector<JobId>{"a", "c"}), ::testing::IsEmpty());
  const auto read = known.Find("a");
  const std::vector<KnownJob> taken = known.Take(std::vector<JobId>{"b", "a"});
  ASSERT_THAT(taken, ::testing::SizeIs(2));
  EXPECT_EQ(taken[0].job.worker + taken[0].version, "b2");
  EXPECT_EQ(taken[1].job.worker + taken[1].version, "a1");
  EXPECT_EQ(read->job.worker, "a");  // theirs still
  EXPECT_EQ(known.Find("a"), nullptr);
  EXPECT_NE(known.Find("c"), nullptr);
}

TEST(DatabaseTimeTest, GoesOnFromWhatCameTheFastestWayUntilThatIsTooOld) {
  DatabaseTime time;
  const absl::Time noon = absl::FromUnixSeconds(1'764'590'400);
  EXPECT_EQ(time.Now(absl::Seconds(1)), std::nullopt);
  time.Heard(noon, absl::Seconds(100));
  EXPECT_EQ(time.Now(absl::Seconds(103)), noon + absl::Seconds(3));
  time.Heard(noon + absl::Seconds(4), absl::Seconds(105));  // was a second on its way
  EXPECT_EQ(time.Now(absl::Seconds(105)), noon + absl::Seconds(5));
  time.Heard(noon + absl::Seconds(6) + absl::Milliseconds(1), absl::Seconds(106));
  EXPECT_EQ(time.Now(absl::Seconds(106)), noon + absl::Seconds(6) + absl::Milliseconds(1));
  EXPECT_EQ(time.Now(absl::Seconds(117)), std::nullopt);
  time.Heard(noon - absl::Hours(1), absl::Seconds(118));  // the clock was set
  EXPECT_EQ(time.Now(absl::Seconds(118)), noon - absl::Hours(1));
}

// Whoever writes the row, this store or another or none: a job in memory is written only as it is.
TEST_F(PgJobStoreTest, AJobInMemoryIsNotWrittenOverWhatOthersWrote) {
  ASSERT_OK_AND_ASSIGN(const Job job, Add());
  PgJobStore other(*pool_, logger_);
  const auto say = [&](PgJobStore& store, const std::string& reason) {
    return store.Update(job.id, [reason](Job& mine, absl::Time, Effects&) {
      mine.state_reason += reason;
      return absl::OkStatus();
    });
  };
  ASSERT_OK(say(store_, "1"));
  ASSERT_OK(say(other, "2"));  // store_ knows it as it was before
  ASSERT_OK(say(store_, "3"));
  ASSERT_OK(say(store_, "4"));  // from memory
  database_.Execute("UPDATE scheduler.job SET state_reason = state_reason || '5'");
  ASSERT_OK_AND_ASSIGN(const Job last, say(store_, "6"));
  EXPECT_THAT(last.state_reason, ::testing::EndsWith("123456"));
  EXPECT_EQ(store_.Get(job.id)->state_reason, last.state_reason);
  EXPECT_EQ(last.revision, job.revision + 5);
  database_.Execute("DELETE FROM scheduler.job");
  EXPECT_THAT(say(store_, "7"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PgJobStoreTest, AnUpdateFromMemoryHasTheDatabasesTime) {
  ASSERT_OK_AND_ASSIGN(const Job job, Add());
  absl::Time now;
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(store_.Update(job.id, [&](Job&, absl::Time time, Effects&) {
      now = time;
      return absl::OkStatus();
    }));
    const absl::Time after = absl::FromUnixMicros(std::stoll(
        database_.Query("SELECT (date_part('epoch', clock_timestamp()) * 1000000)::bigint")));
    EXPECT_LE(now, after);
    EXPECT_GE(now, after - absl::Seconds(5));
    EXPECT_GT(now, job.create_time);
  }
}

// Each of two stores adds to the same jobs, mostly from memory that the other has made wrong.
TEST_F(PgJobStoreTest, TwoStoresThatWriteTheSameJobsLoseNothing) {
  std::vector<JobId> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(Add()->id);
  std::unique_ptr<pg::Pool> pool = database_.NewPool("scheduler", 4);
  PgJobStore other(*pool, logger_);
  const auto write = [&](PgJobStore& store) {
    for (int i = 0; i < 40; ++i) {
      std::vector<JobUpdate> updates;
      for (size_t n = 0; n < jobs.size(); ++n) {
        updates.push_back({jobs[(n + static_cast<size_t>(i)) % jobs.size()],
                           [](Job& mine, absl::Time, Effects& effects) {
                             mine.failure_count += 1;
                             effects.events.emplace_back();
                             return absl::OkStatus();
                           }});
      }
      for (const auto& result : store.UpdateAll(updates)) EXPECT_OK(result.status());
    }
  };
  std::thread one([&] { write(store_); });
  std::thread two([&] { write(other); });
  one.join();
  two.join();
  for (const JobId& id : jobs) {
    ASSERT_OK_AND_ASSIGN(const Job job, store_.Get(id));
    EXPECT_EQ(job.failure_count, 80);
    EXPECT_EQ(store_.Events(id, 0, 1000)->size(), static_cast<size_t>(job.last_event_sequence));
  }
}

// Microseconds through text, floating point and back, and what is short stays in the row.
TEST_F(PgJobStoreTest, TimesKeepTheirMicrosecondsAndAClaimWritesOneRow) {
  ASSERT_OK_AND_ASSIGN(Job job, Add());
  const absl::Time late = absl::FromUnixMicros(4'102'444'799'999'999);  // in 2099
  ASSERT_OK(store_.Update(job.id, [&](Job& mine, absl::Time, Effects&) {
    mine.run_time = late;
    mine.ready_time = absl::FromUnixMicros(1'764'540'000'000'001);
    return absl::OkStatus();
  }));
  ASSERT_OK_AND_ASSIGN(Job back, store_.Get(job.id));
  EXPECT_EQ(back.run_time, late);
  EXPECT_EQ(back.ready_time, absl::FromUnixMicros(1'764'540'000'000'001));
  EXPECT_EQ(database_.Query("SELECT run_time AT TIME ZONE 'UTC' FROM scheduler.job"),
            "2099-12-31 23:59:59.999999");
  // What the migration sets: a column's type resets its storage.
  EXPECT_EQ(database_.Query("SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute"
                            " WHERE attrelid = 'scheduler.job'::regclass AND attstorage = 'm'"),
            "base_digest dataset_version labels last_checkpoint_digest lease_incarnation"
            " lease_token_hash lease_worker report state_reason worker");
  EXPECT_EQ(database_.Query("SELECT reloptions::text LIKE '%toast_tuple_target=1280%' FROM pg_class"
                            " WHERE oid = 'scheduler.job'::regclass"),
            "t");
  // A long plan goes out of the row; a claim's texts do not.
  database_.Execute(
      "UPDATE scheduler.job SET plan = (SELECT json_object_agg(n, md5(n::text))"
      " FROM generate_series(1, 200) n)");
  const std::string chunks =
      "SELECT count(*) FROM pg_class c, LATERAL (SELECT (xpath('/row/n/text()', query_to_xml("
      "'SELECT count(*) AS n FROM ' || c.reltoastrelid::regclass, false, true, '')))[1]::text"
      " AS n) x, generate_series(1, x.n::integer) WHERE c.oid = 'scheduler.job'::regclass";
  const std::string before = database_.Query(chunks);
  EXPECT_NE(before, "0");
  ASSERT_OK_AND_ASSIGN(
      std::vector<Job> claimed,
      store_.Claim({.capabilities = {},
                    .ttl = absl::Seconds(30),
                    .claimants = {{"worker-with-a-long-name", "life", DigestOf("secret")}},
                    .project = ""}));
  EXPECT_THAT(claimed, ::testing::SizeIs(1));
  EXPECT_EQ(database_.Query(chunks), before);
}

TEST_F(PgJobStoreTest, OnlyOneSchedulerLeads) {
  PgJobStore other(*pool_, logger_);
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

TEST_F(PgJobStoreTest, ClaimsAndLocksUseTheirIndex) {
  // A history of 20,000 jobs and 500 that wait: what the planner chooses by itself.
  ASSERT_OK_AND_ASSIGN(Job job, Add());
  database_.Execute(
      "SET search_path = scheduler;"
      "CREATE TEMP TABLE copy AS SELECT * FROM job;"
      "INSERT INTO job SELECT (c).* FROM (SELECT jsonb_populate_record(copy, jsonb_build_object("
      "'id', gen_random_uuid(), 'state', CASE WHEN n > 500 THEN 'SUCCEEDED' ELSE 'QUEUED' END,"
      "'finish_time', CASE WHEN n > 500 THEN now() END,"
      "'rank_time', now() - n * interval '1 second')) AS c"
      " FROM copy, generate_series(1, 20500) AS n) AS s;"
      "ANALYZE job;");
  // Rows of job that the transaction has read one after another.
  EXPECT_EQ(
      database_.Query("SET search_path = scheduler;"
                      "SELECT * FROM claim_jobs('{w}', '{i}', '{hash}', 30, '{SFT}', '{}', '',"
                      " 'cpu', 1000, '{}');"
                      "SELECT pg_stat_get_xact_tuples_returned('job'::regclass)"),
      "0");
  EXPECT_EQ(database_.Query("SELECT count(*) FROM scheduler.job WHERE state = 'RUNNING'"), "1");
  // Who has a base is given the first job that needs it, among the next ones.
  database_.Execute(
      "UPDATE scheduler.job SET base_digest = 'x' WHERE id = (SELECT id FROM scheduler.job"
      " WHERE state = 'QUEUED' ORDER BY rank_time OFFSET 20 LIMIT 1)");
  EXPECT_EQ(
      database_.Query("SET search_path = scheduler;"
                      "SELECT * FROM claim_jobs('{v}', '{i}', '{hash2}', 30, '{SFT}', '{}', '',"
                      " 'cpu', 1000, '{x}');"
                      "SELECT pg_stat_get_xact_tuples_returned('job'::regclass)"),
      "0");
  EXPECT_EQ(database_.Query("SELECT state FROM scheduler.job WHERE base_digest = 'x'"), "RUNNING");
  const std::string running =
      database_.Query("SELECT ARRAY[id] FROM scheduler.job WHERE lease_worker = 'w'");
  EXPECT_EQ(
      database_.Query(absl::StrCat("SET search_path = scheduler;"
                                   "SELECT * FROM lock_jobs('",
                                   running, "', '", running,
                                   "');"
                                   "SELECT pg_stat_get_xact_tuples_returned('job'::regclass)")),
      "0");
}

}  // namespace
}  // namespace crossover::scheduler
