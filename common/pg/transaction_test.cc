#include "common/pg/transaction.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/context/request_context.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"

namespace crossover::pg {
namespace {

using ::testing::HasSubstr;

class TransactTest : public ::testing::Test {
 protected:
  void SetUp() override {
    db_.Execute(
        "CREATE TABLE job (id int PRIMARY KEY, state text NOT NULL CHECK (state IN "
        "('QUEUED','RUNNING')), "
        "request_id text CONSTRAINT job_request_id_key UNIQUE)");
  }

  absl::Status Insert(int id, const std::string& state = "QUEUED") {
    return Transact(*pool_, {.name = "insert"}, [&](pqxx::transaction_base& txn) {
      txn.exec_params("INSERT INTO job VALUES ($1, $2, $3)", id, state,
                      "r" + std::to_string(id % 10));
      return absl::OkStatus();
    });
  }

  testing::PgDatabase db_;
  std::unique_ptr<Pool> pool_ = db_.NewPool("public", 4);
};

TEST_F(TransactTest, CommitsWhenTheFunctionReturnsOkAndGivesItsValue) {
  EXPECT_OK(Insert(1));
  const absl::StatusOr<int> count =
      Transact(*pool_, {.name = "count"}, [](pqxx::transaction_base& txn) {
        return absl::StatusOr<int>(txn.exec1("SELECT count(*) FROM job")[0].as<int>());
      });
  EXPECT_THAT(count, IsOkAndHolds(1));
}

TEST_F(TransactTest, RollsBackWhenTheFunctionReturnsAnError) {
  const absl::Status status =
      Transact(*pool_, {.name = "insert"}, [](pqxx::transaction_base& txn) -> absl::Status {
        txn.exec("INSERT INTO job VALUES (1, 'QUEUED', 'a')");
        return absl::AbortedError("changed my mind");
      });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(db_.Query("SELECT count(*) FROM job"), "0");
}

TEST_F(TransactTest, ConstraintsComeOutWithTheirNames) {
  EXPECT_OK(Insert(1));
  const absl::Status twice = Insert(11);
  EXPECT_THAT(twice, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(DetailOf(twice).metadata.at("constraint"), "job_request_id_key");
  EXPECT_EQ(DetailOf(twice).metadata.at("sqlstate"), "23505");
  const absl::Status check = Insert(2, "NONSENSE");
  EXPECT_THAT(check, HasReasonThat("CONSTRAINT_VIOLATED"));
  EXPECT_EQ(DetailOf(check).metadata.at("constraint"), "job_state_check");
}

TEST_F(TransactTest, APreparedStatementIsPlannedOnceAndOutlivesRollbackAndConnection) {
  static constexpr char kInsert[] = "INSERT INTO job VALUES ($1, 'QUEUED', $2)";
  const std::unique_ptr<Pool> pool = db_.NewPool("public", 1);
  const auto insert = [&](int id, const absl::Status& end) {
    return Transact(*pool, {.name = "insert"}, [&](pqxx::transaction_base& txn) {
      ExecPrepared(txn, kInsert, id, std::to_string(id));
      return end;
    });
  };
  const auto prepared = [&] {
    return Transact(*pool, {.name = "count"}, [](pqxx::transaction_base& txn) {
      return absl::StatusOr<int>(
          txn.exec1("SELECT count(*) FROM pg_prepared_statements")[0].as<int>());
    });
  };
  EXPECT_FALSE(insert(1, absl::AbortedError("changed my mind")).ok());
  EXPECT_OK(insert(2, absl::OkStatus()));
  EXPECT_THAT(insert(2, absl::OkStatus()), HasReasonThat("ALREADY_EXISTS"));
  EXPECT_THAT(prepared(), IsOkAndHolds(1));
  db_.Query(
      "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
      " WHERE datname = current_database() AND pid <> pg_backend_pid()");
  EXPECT_OK(insert(3, absl::OkStatus()));
  EXPECT_THAT(prepared(), IsOkAndHolds(1));
  EXPECT_EQ(db_.Query("SELECT count(*) FROM job"), "2");
}

TEST_F(TransactTest, APreparedStatementWhoseTableWasAlteredIsPreparedAnew) {
  static constexpr char kSelect[] = "SELECT * FROM job";
  const auto columns = [&](pqxx::transaction_base& txn) {
    return absl::StatusOr<int>(static_cast<int>(ExecPrepared(txn, kSelect).columns()));
  };
  // Two connections know it.
  EXPECT_OK(Transact(*pool_, {.name = "outer"}, [&](pqxx::transaction_base& txn) {
    EXPECT_THAT(columns(txn), IsOkAndHolds(3));
    return Transact(*pool_, {.name = "inner"}, columns).status();
  }));
  EXPECT_EQ(pool_->size(), 2);
  db_.Execute("ALTER TABLE job ADD COLUMN extra int");
  int runs = 0;
  EXPECT_THAT(Transact(*pool_, {.name = "again"},
                       [&](pqxx::transaction_base& txn) {
                         ++runs;
                         txn.exec("INSERT INTO job VALUES (1, 'QUEUED', 'one')");
                         return columns(txn);
                       }),
              IsOkAndHolds(4));
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(db_.Query("SELECT count(*) FROM job"), "1");
}

TEST_F(TransactTest, APreparedStatementThatWasForgottenIsPreparedAnew) {
  static constexpr char kSelect[] = "SELECT 7";
  int runs = 0;
  EXPECT_THAT(Transact(*pool_, {.name = "forgotten"},
                       [&](pqxx::transaction_base& txn) {
                         ExecPrepared(txn, kSelect);
                         if (++runs == 1) txn.exec("DEALLOCATE ALL");
                         return absl::StatusOr<int>(ExecPrepared(txn, kSelect)[0][0].as<int>());
                       }),
              IsOkAndHolds(7));
  EXPECT_EQ(runs, 2);
}

TEST_F(TransactTest, AStatementThatIsNeverUsableFailsAfterTheLastAttempt) {
  int runs = 0;
  const absl::Status status =
      Transact(*pool_, {.name = "unknown", .max_attempts = 2}, [&](pqxx::transaction_base& txn) {
        ++runs;
        txn.exec("EXECUTE nobody_prepared_this");
        return absl::OkStatus();
      });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(DetailOf(status).metadata.at("sqlstate"), "26000");
  EXPECT_EQ(runs, 2);
  EXPECT_OK(pool_->Ping());
}

TEST_F(TransactTest, WrongSqlIsInternalAndNamesTheAction) {
  const absl::Status status =
      Transact(*pool_, {.name = "claim_job"}, [](pqxx::transaction_base& txn) {
        txn.exec("SELECT nonsense");
        return absl::OkStatus();
      });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, HasSubstr("claim_job")));
  EXPECT_EQ(DetailOf(status).metadata.at("sqlstate"), "42703");
}

TEST_F(TransactTest, AnExceptionOfTheFunctionsOwnBecomesAnError) {
  const absl::Status status = Transact(
      *pool_, {.name = "x"},
      [](pqxx::transaction_base&) -> absl::Status { throw std::runtime_error("surprise"); });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, HasSubstr("surprise")));
}

TEST_F(TransactTest, SerializationFailureRunsTheFunctionAgain) {
  EXPECT_OK(Insert(1));
  int runs = 0;
  const absl::Status status =
      Transact(*pool_, {.name = "retry", .isolation = Isolation::kRepeatableRead},
               [&](pqxx::transaction_base& txn) {
                 txn.exec("SELECT * FROM job");
                 if (++runs == 1)
                   db_.Execute("UPDATE job SET state = 'RUNNING'");  // behind our snapshot's back
                 txn.exec("UPDATE job SET state = 'QUEUED'");
                 return absl::OkStatus();
               });
  EXPECT_OK(status);
  EXPECT_EQ(runs, 2);
}

TEST_F(TransactTest, EndlessConflictIsAbortedAfterTheLastAttempt) {
  EXPECT_OK(Insert(1));
  int runs = 0;
  const absl::Status status = Transact(
      *pool_, {.name = "retry", .isolation = Isolation::kRepeatableRead, .max_attempts = 3},
      [&](pqxx::transaction_base& txn) {
        ++runs;
        txn.exec("SELECT * FROM job");
        db_.Execute("UPDATE job SET state = 'RUNNING'");
        txn.exec("UPDATE job SET state = 'QUEUED'");
        return absl::OkStatus();
      });
  EXPECT_THAT(status, HasReasonThat("TRANSACTION_CONFLICT"));
  EXPECT_EQ(runs, 3);
}

TEST_F(TransactTest, ReadOnlyTransactionsCannotWrite) {
  EXPECT_FALSE(Transact(*pool_, {.name = "w", .read_only = true}, [](pqxx::transaction_base& txn) {
                 txn.exec("INSERT INTO job VALUES (1, 'QUEUED', 'a')");
                 return absl::OkStatus();
               }).ok());
}

TEST_F(TransactTest, OneStatementIsATransactionOfItsOwn) {
  const auto run = [&](const char* sql) {
    return Transact(*pool_, {.name = "one", .one_statement = true},
                    [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::string> {
                      return txn.exec1(sql)[0].as<std::string>();
                    });
  };
  EXPECT_THAT(run("INSERT INTO job VALUES (1, 'QUEUED', 'a') RETURNING id"), IsOkAndHolds("1"));
  EXPECT_EQ(db_.Query("SELECT count(*) FROM job"), "1");
  EXPECT_THAT(run("INSERT INTO job VALUES (1, 'QUEUED', 'b') RETURNING id"),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(run("SELECT state FROM job"), IsOkAndHolds("QUEUED"));
}

TEST_F(TransactTest, OneStatementOnAConnectionThatTheServerHasClosedRunsOnAnother) {
  const auto pool = db_.NewPool("public", 1);
  const auto backend = [&] {
    return Transact(*pool, {.name = "one", .one_statement = true},
                    [](pqxx::transaction_base& txn) -> absl::StatusOr<std::string> {
                      return txn.exec1("SELECT pg_backend_pid()")[0].as<std::string>();
                    });
  };
  ASSERT_OK_AND_ASSIGN(const std::string first, backend());
  db_.Query("SELECT pg_terminate_backend(" + first + ", 5000)");
  ASSERT_OK_AND_ASSIGN(const std::string second, backend());
  EXPECT_NE(second, first);
}

TEST_F(TransactTest, OneStatementWhoseConnectionIsCutMayHaveHappened) {
  const absl::Status cut =
      Transact(*pool_, {.name = "one", .one_statement = true}, [](pqxx::transaction_base& txn) {
        txn.exec("SELECT pg_terminate_backend(pg_backend_pid())");
        return absl::OkStatus();
      });
  EXPECT_THAT(cut, HasReasonThat("COMMIT_UNKNOWN"));
}

TEST_F(TransactTest, StatementOverItsTimeIsDeadlineExceeded) {
  const auto sleep = [](pqxx::transaction_base& txn) {
    txn.exec("SELECT pg_sleep(20)");
    return absl::OkStatus();
  };
  EXPECT_THAT(Transact(*pool_, {.name = "slow", .timeout = absl::Milliseconds(20)}, sleep),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ScopedContext scope(
      RequestContext{.deadline = SystemClock().SteadyNow() + absl::Milliseconds(20)});
  EXPECT_THAT(Transact(*pool_, {.name = "slow"}, sleep),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(TransactTest, ADeadlineThatHasPassedDoesNotTouchTheDatabase) {
  ScopedContext scope(RequestContext{.deadline = SystemClock().SteadyNow() - absl::Seconds(1)});
  bool ran = false;
  EXPECT_THAT(Transact(*pool_, {.name = "late"},
                       [&](pqxx::transaction_base&) {
                         ran = true;
                         return absl::OkStatus();
                       }),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_FALSE(ran);
}

TEST_F(TransactTest, ConnectionsKilledWhileIdleAreReplacedUnnoticed) {
  ASSERT_OK(pool_->Ping());
  db_.Execute(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
      "'crossover'");
  EXPECT_OK(Insert(1));
  EXPECT_OK(pool_->Ping());
}

TEST_F(TransactTest, AConnectionKilledInTheMiddleRunsTheFunctionAgainOnAFreshOne) {
  int runs = 0;
  EXPECT_OK(Transact(*pool_, {.name = "killed"}, [&](pqxx::transaction_base& txn) {
    const int pid = txn.conn().backendpid();
    txn.exec("INSERT INTO job VALUES (5, 'QUEUED', 'five')");
    if (++runs == 1) db_.Execute("SELECT pg_terminate_backend(" + std::to_string(pid) + ", 5000)");
    txn.exec("SELECT 1");
    return absl::OkStatus();
  }));
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(db_.Query("SELECT count(*) FROM job"), "1");
}

TEST_F(TransactTest, TwiceKilledIsUnavailableAndThePoolRecovers) {
  EXPECT_THAT(
      Transact(*pool_, {.name = "killed"},
               [&](pqxx::transaction_base& txn) {
                 const int pid = txn.conn().backendpid();
                 db_.Execute("SELECT pg_terminate_backend(" + std::to_string(pid) + ", 5000)");
                 txn.exec("SELECT 1");
                 return absl::OkStatus();
               }),
      HasReasonThat("POSTGRES_UNAVAILABLE"));
  EXPECT_OK(pool_->Ping());
}

TEST_F(TransactTest, SessionSettingsSurviveReplacement) {
  auto pool = db_.NewPool("elsewhere", 1);
  const auto path = [&] {
    return Transact(*pool, {.name = "path"}, [](pqxx::transaction_base& txn) {
      return absl::StatusOr<std::string>(txn.exec1("SHOW search_path")[0].as<std::string>());
    });
  };
  EXPECT_THAT(path(), IsOkAndHolds("elsewhere"));
  db_.Execute(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
      "'crossover'");
  EXPECT_THAT(path(), IsOkAndHolds("elsewhere"));
}

TEST_F(TransactTest, AFullPoolWaitsAndThenSaysSo) {
  ASSERT_OK_AND_ASSIGN(auto pool, Pool::Create({.dsn = db_.dsn(),
                                                .max_connections = 1,
                                                .acquire_timeout = absl::Milliseconds(20)},
                                               SystemClock()));
  absl::Status inner;
  EXPECT_OK(Transact(*pool, {.name = "outer"}, [&](pqxx::transaction_base&) {
    inner = pool->Ping();
    return absl::OkStatus();
  }));
  EXPECT_THAT(inner, HasReasonThat("POSTGRES_POOL_EXHAUSTED"));
  EXPECT_OK(pool->Ping());
}

TEST_F(TransactTest, ManyThreadsShareFewConnections) {
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) failures += pool_->Ping().ok() ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_LE(pool_->size(), 4);
}

TEST(PoolTest, UnreachableDatabaseIsNamedWithoutItsPassword) {
  const auto pool =
      Pool::Create({.dsn = "host=/nonexistent user=u password=secret dbname=d"}, SystemClock());
  EXPECT_THAT(pool.status(), HasReasonThat("POSTGRES_UNAVAILABLE"));
  EXPECT_THAT(pool.status().ToString(), HasSubstr("/nonexistent"));
  EXPECT_THAT(pool.status().ToString(), ::testing::Not(HasSubstr("secret")));
}

TEST(LiteralTest, ArraysQuoteTheirElements) {
  EXPECT_EQ(ArrayLiteral(std::vector<std::string>{"a", "b,c", "d\"e\\f", ""}),
            R"({"a","b,c","d\"e\\f",""})");
  EXPECT_EQ(ArrayLiteral(std::vector<int64_t>{}), "{}");
  EXPECT_EQ(ArrayLiteral(std::vector<int64_t>{1, -2}), "{1,-2}");
}

TEST_F(TransactTest, TimestampsRoundTrip) {
  const absl::Time time = absl::FromUnixMicros(1'800'000'000'123'456);
  const auto back = Transact(*pool_, {.name = "time"}, [&](pqxx::transaction_base& txn) {
    return FromTimestamp(
        txn.exec_params1("SELECT $1::timestamptz", ToTimestamp(time))[0].as<std::string>());
  });
  EXPECT_THAT(back, IsOkAndHolds(time));
  EXPECT_FALSE(FromTimestamp("yesterday").ok());
}

}  // namespace
}  // namespace crossover::pg
