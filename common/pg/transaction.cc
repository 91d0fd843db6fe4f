#include "common/pg/transaction.h"

#include <poll.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/context/request_context.h"
#include "common/pg/connect.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::pg {
namespace {

std::string Trim(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0)
    text.pop_back();
  return text;
}

// The constraint's name out of `… violates unique constraint "job_request_id_key"`; libpqxx 6
// doesn't hand it on.
std::string ConstraintOf(std::string_view message) {
  constexpr std::string_view kWord = "constraint \"";
  const size_t begin = message.find(kWord);
  if (begin == std::string_view::npos) return "";
  const size_t name = begin + kWord.size();
  const size_t end = message.find('"', name);
  return end == std::string_view::npos ? "" : std::string(message.substr(name, end - name));
}

struct Mapping {
  absl::StatusCode code;
  const char* reason;
  const char* advice;  // appended to the message, may be empty
};

// Postgres' SQLSTATEs (appendix A of its manual) that mean something to callers.
Mapping MapSqlState(std::string_view state) {
  using Code = absl::StatusCode;
  if (state == "40001" || state == "40P01" || state == "55P03") {
    return {Code::kAborted, "TRANSACTION_CONFLICT", "; try again"};
  }
  if (state == "23505") return {Code::kAlreadyExists, "ALREADY_EXISTS", ""};
  if (state.starts_with("23")) return {Code::kFailedPrecondition, "CONSTRAINT_VIOLATED", ""};
  if (state == "57014") return {Code::kDeadlineExceeded, "DEADLINE_EXCEEDED", ""};
  if (state == "53100") {
    return {Code::kResourceExhausted, "DISK_FULL",
            "; free space in Postgres' data folder, then try again"};
  }
  if (state == "53300") {
    return {Code::kResourceExhausted, "TOO_MANY_CONNECTIONS",
            "; raise max_connections or lower the pools' maxima"};
  }
  if (state.starts_with("53")) return {Code::kResourceExhausted, "POSTGRES_OUT_OF_RESOURCES", ""};
  if (state.starts_with("08") || state.starts_with("57P")) {
    return {Code::kUnavailable, "POSTGRES_UNAVAILABLE",
            "; the database is restarting or unreachable"};
  }
  return {Code::kInternal, "POSTGRES_ERROR", ""};
}

absl::Status SqlError(std::string_view what, const std::string& message, const std::string& state) {
  const Mapping mapping = MapSqlState(state);
  ErrorDetail detail{.reason = mapping.reason, .metadata = {{"sqlstate", state}}};
  if (const std::string name = ConstraintOf(message); !name.empty())
    detail.metadata["constraint"] = name;
  return Error(mapping.code, absl::StrCat(ToAbsl(what), ": ", Trim(message), mapping.advice),
               std::move(detail));
}

// What starts a transaction: one message, because each takes a round trip.
std::string BeginCommand(const Pool& pool, const TransactOptions& options, absl::Duration left) {
  constexpr const char* kLevels[] = {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};
  std::string sql =
      absl::StrCat("BEGIN ISOLATION LEVEL ", kLevels[static_cast<int>(options.isolation)],
                   options.read_only ? " READ ONLY" : "");
  // The session's own statement_timeout stands unless this one is clearly shorter.
  const absl::Duration limit = std::min(options.timeout, left);
  if (limit < 0.8 * pool.options().statement_timeout) {
    absl::StrAppend(&sql, "; SET LOCAL statement_timeout = ",
                    std::max<int64_t>(1, absl::ToInt64Milliseconds(limit)));
  }
  return sql;
}

// libpqxx's own transactions know of no settings.
class Transaction final : public pqxx::dbtransaction {
 public:
  Transaction(pqxx::connection_base& connection, std::string begin)
      : namedclass("transaction"), dbtransaction(connection), begin_(std::move(begin)) {
    Begin();
  }
  ~Transaction() override { End(); }

 private:
  void do_begin() override { direct_exec(begin_.c_str()); }
  void do_commit() override {
    try {
      direct_exec("COMMIT");
    } catch (const std::exception& e) {
      if (!conn().is_open()) throw pqxx::in_doubt_error(e.what());
      throw;
    }
  }

  const std::string begin_;
};

// The connection's prepared statement is no longer what the code takes it for: a table or function
// that it reads has other columns since ("cached plan must not change result type"), or something
// between us and Postgres has forgotten it.
bool PreparedIsStale(const absl::Status& status) {
  if (!HasReason(status, "POSTGRES_ERROR")) return false;
  const ErrorDetail detail = DetailOf(status);
  const auto state = detail.metadata.find("sqlstate");
  return state != detail.metadata.end() && (state->second == "0A000" || state->second == "26000");
}

enum class Phase { kBegin, kBody, kCommit };

// Nobody has asked anything on an idle connection, so whatever there is to read says that the
// server has closed it.
bool ServerHasClosed(const pqxx::connection_base& connection) {
  pollfd socket{.fd = connection.sock(), .events = POLLIN, .revents = 0};
  return poll(&socket, 1, 0) != 0;
}

using Body = std::function<absl::Status(pqxx::transaction_base&)>;

absl::Status RunInTransaction(pqxx::connection_base& connection, const std::string& begin,
                              const Body& body, Phase& phase) {
  Transaction txn(connection, begin);
  phase = Phase::kBody;
  RETURN_IF_ERROR(body(txn));
  phase = Phase::kCommit;
  txn.commit();
  return absl::OkStatus();
}

absl::Status RunOneStatement(pqxx::connection_base& connection, const Body& body, Phase& phase) {
  if (ServerHasClosed(connection)) throw pqxx::broken_connection("the server has closed it");
  phase = Phase::kBody;
  pqxx::nontransaction txn(connection);
  try {
    return body(txn);
  } catch (const std::exception& e) {
    if (!connection.is_open()) throw pqxx::in_doubt_error(e.what());
    throw;
  }
}

// One attempt. Sets `phase` to how far it came.
absl::Status RunOnce(Pool& pool, Lease& lease, const TransactOptions& options, const Body& body,
                     Phase& phase) {
  const std::string begin =
      BeginCommand(pool, options, RequestContext::Current().Remaining(pool.clock()));
  try {
    phase = Phase::kBegin;
    return options.one_statement ? RunOneStatement(lease.get(), body, phase)
                                 : RunInTransaction(lease.get(), begin, body, phase);
  } catch (...) {
    absl::Status status = StatusFromCurrentException(options.name);
    if (status.code() == absl::StatusCode::kUnavailable || PreparedIsStale(status) ||
        !lease.get().is_open()) {
      lease.Discard();
    }
    return status;
  }
}

absl::Duration Backoff(int attempt) {
  thread_local std::minstd_rand engine{std::random_device{}()};
  const double ms = static_cast<double>(1 << std::min(attempt, 7)) * 2;
  return absl::Milliseconds(std::uniform_real_distribution<double>(ms / 2, ms * 1.5)(engine));
}

}  // namespace

absl::Status StatusFromCurrentException(std::string_view what) {
  try {
    throw;
  } catch (const pqxx::in_doubt_error& e) {
    return Error(
        absl::StatusCode::kUnavailable, "COMMIT_UNKNOWN",
        absl::StrCat(ToAbsl(what),
                     ": the connection broke during COMMIT, so the write may or may not have "
                     "happened: ",
                     Trim(e.what())));
  } catch (const pqxx::deadlock_detected& e) {  // this and the next are no sql_error in libpqxx 6
    return SqlError(what, e.what(), "40P01");
  } catch (const pqxx::serialization_failure& e) {
    return SqlError(what, e.what(), "40001");
  } catch (const pqxx::sql_error& e) {
    return SqlError(what, e.what(), e.sqlstate());
  } catch (const pqxx::broken_connection& e) {
    return Error(absl::StatusCode::kUnavailable, "POSTGRES_UNAVAILABLE",
                 absl::StrCat(ToAbsl(what), ": lost the connection to Postgres: ", Trim(e.what())));
  } catch (const std::bad_alloc&) {
    return Error(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                 std::string(what) + ": out of memory");
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kInternal, "POSTGRES_ERROR",
                 absl::StrCat(ToAbsl(what), ": ", Trim(e.what())));
  } catch (...) {
    return Error(absl::StatusCode::kInternal, "POSTGRES_ERROR",
                 std::string(what) + ": unknown exception");
  }
}

absl::Status TransactStatus(Pool& pool, const TransactOptions& options,
                            const std::function<absl::Status(pqxx::transaction_base&)>& body) {
  bool replaced = false;  // a stale connection costs one silent retry, not an attempt
  for (int attempt = 1;; ++attempt) {
    if (RequestContext::Current().Remaining(pool.clock()) == absl::ZeroDuration()) {
      return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                   absl::StrCat(ToAbsl(options.name), ": the request's deadline has passed"));
    }
    Phase phase = Phase::kBegin;
    absl::Status status;
    {
      ASSIGN_OR_RETURN(Lease lease, pool.impl().Acquire());
      status = RunOnce(pool, lease, options, body, phase);
    }
    if (status.ok()) {
      pool.impl().CountTransaction("committed");
      return status;
    }
    if (HasReason(status, "POSTGRES_UNAVAILABLE") && !replaced && phase != Phase::kCommit) {
      pool.impl().DropIdle();
      replaced = true;
      continue;
    }
    // Several attempts: a connection that another thread gives back meanwhile may be as stale.
    if (PreparedIsStale(status) && phase != Phase::kCommit && attempt < options.max_attempts) {
      pool.impl().DropIdle();
      continue;
    }
    if (HasReason(status, "TRANSACTION_CONFLICT") && attempt < options.max_attempts) {
      pool.impl().CountTransaction("conflict");
      pool.clock().SleepFor(Backoff(attempt));
      continue;
    }
    pool.impl().CountTransaction("failed");
    return status;
  }
}

std::string Prepare(pqxx::transaction_base& txn, const char* sql) {
  std::string name = absl::StrFormat("%x", reinterpret_cast<uintptr_t>(sql));
  txn.conn().prepare(name, sql);  // does nothing if it knows the statement
  return name;
}

std::string ArrayLiteral(const std::vector<std::string>& values) {
  std::string out = "{";
  for (const std::string& value : values) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + "}";
}

std::string ArrayLiteral(const std::vector<int64_t>& values) {
  std::string out = "{";
  for (const int64_t value : values) absl::StrAppend(&out, out.size() > 1 ? "," : "", value);
  return out + "}";
}

std::string ToTimestamp(absl::Time time) {
  if (time == absl::InfiniteFuture()) return "infinity";
  if (time == absl::InfinitePast()) return "-infinity";
  return absl::FormatTime("%E4Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

absl::StatusOr<absl::Time> FromTimestamp(std::string_view text) {
  if (text == "infinity") return absl::InfiniteFuture();
  if (text == "-infinity") return absl::InfinitePast();
  absl::Time time;
  std::string why;
  // Postgres prints "2026-11-22 08:32:00.123456+00"; %Ez also takes offsets without minutes.
  for (const char* format : {"%Y-%m-%d %H:%M:%E*S%Ez", "%Y-%m-%dT%H:%M:%E*S%Ez"}) {
    std::string candidate(text);
    if (candidate.size() > 3 &&
        (candidate[candidate.size() - 3] == '+' || candidate[candidate.size() - 3] == '-')) {
      candidate += ":00";
    }
    if (absl::ParseTime(format, candidate, &time, &why)) return time;
  }
  return Error(absl::StatusCode::kInvalidArgument, "TIMESTAMP_INVALID",
               "'" + std::string(text) + "' is not a timestamp: " + why);
}

}  // namespace crossover::pg
