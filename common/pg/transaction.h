// Transactions for storage rooms. The one header of common/pg that shows pqxx; exceptions end here.
//
//   return pg::Transact(pool_, {.name = "heartbeat"}, [&](pqxx::transaction_base& txn) ->
//   absl::StatusOr<Reply> {
//     const pqxx::result rows = txn.exec_params(sql::kHeartbeat, job, epoch, ttl, step, loss);
//     if (rows.empty()) return Error(absl::StatusCode::kAborted, "LEASE_LOST", …);   // rolls back
//     return Reply{…};                                                              // commits
//   });
//
// How errors come out: broken connection → UNAVAILABLE `POSTGRES_UNAVAILABLE`; serialization
// failure, deadlock → the function runs again (up to max_attempts, with jittered back-off), then
// ABORTED `TRANSACTION_CONFLICT`; a prepared statement that has become stale, because what it reads
// was altered → the function runs again on another connection (also up to max_attempts); unique →
// ALREADY_EXISTS `ALREADY_EXISTS`, foreign key and check → FAILED_PRECONDITION
// `CONSTRAINT_VIOLATED` (all with metadata `constraint`, `sqlstate`); disk full, out of memory, too
// many connections → RESOURCE_EXHAUSTED; statement_timeout → DEADLINE_EXCEEDED; anything else →
// INTERNAL `POSTGRES_ERROR` with `sqlstate`. A connection lost during COMMIT is UNAVAILABLE with
// reason `COMMIT_UNKNOWN`: the write may or may not have happened.
#pragma once

#include <functional>
#include <optional>
#include <pqxx/pqxx>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/pg/pool.h"

namespace crossover::pg {

enum class Isolation { kReadCommitted, kRepeatableRead, kSerializable };

struct TransactOptions {
  std::string_view name;  // for error messages and metrics: "claim_job"
  Isolation isolation = Isolation::kReadCommitted;
  bool read_only = false;
  // Longest time for each statement; the pool's statement_timeout and the RequestContext's deadline
  // also bound it.
  absl::Duration timeout = absl::InfiniteDuration();
  int max_attempts = 5;
  // `body` executes one statement and nothing after it: the statement is a transaction of its own,
  // one round trip in place of three. An error of `body` afterwards rolls nothing back, a
  // connection lost meanwhile is COMMIT_UNKNOWN, and only the pool's statement_timeout bounds it:
  // for what takes milliseconds and waits for no one.
  bool one_statement = false;
};

// Runs `body` in a transaction; commits iff it returns OK. Thread-safe. `body` may run several
// times and must not have effects other than on `txn` and variables it sets anew. Blocks. Use the
// template below.
absl::Status TransactStatus(Pool& pool, const TransactOptions& options,
                            const std::function<absl::Status(pqxx::transaction_base&)>& body);

// Fn: (pqxx::transaction_base&) -> absl::Status or absl::StatusOr<T>. Returns what `fn` returns.
template <typename Fn>
auto Transact(Pool& pool, const TransactOptions& options, Fn&& fn)
    -> std::invoke_result_t<Fn&, pqxx::transaction_base&> {
  using Result = std::invoke_result_t<Fn&, pqxx::transaction_base&>;
  if constexpr (std::is_same_v<Result, absl::Status>) {
    return TransactStatus(pool, options, fn);
  } else {
    std::optional<Result> out;
    absl::Status status = TransactStatus(pool, options, [&](pqxx::transaction_base& txn) {
      out.emplace(fn(txn));
      return out->status();
    });
    if (!status.ok()) return status;
    return *std::move(out);
  }
}

// The name under which the transaction's connection knows the statement: it is sent, parsed and
// planned at its first use on a connection only. `sql` must live for ever (the embedded statements
// do). Use the template below.
std::string Prepare(pqxx::transaction_base& txn, const char* sql);

// As txn.exec_params, for statements whose plan does not depend on their values, as the call of a
// function: with the sixth use on a connection the plan is fixed until a table it reads is
// analysed.
template <typename... Args>
pqxx::result ExecPrepared(pqxx::transaction_base& txn, const char* sql, Args&&... args) {
  return txn.exec_prepared(Prepare(txn, sql), std::forward<Args>(args)...);
}

// The absl::Status for the exception that is being handled: call inside `catch (...)` around pqxx.
// `what` names the action.
absl::Status StatusFromCurrentException(std::string_view what);

// {1,2,3} as a Postgres array literal for a text[] / bigint[] parameter ("$1::text[]"); elements
// are quoted.
std::string ArrayLiteral(const std::vector<std::string>& values);
std::string ArrayLiteral(const std::vector<int64_t>& values);

// timestamptz <-> absl::Time, through ISO text with microseconds ("2026-11-22T08:32:00.123456Z").
std::string ToTimestamp(absl::Time time);
absl::StatusOr<absl::Time> FromTimestamp(std::string_view text);

}  // namespace crossover::pg
