#include "common/pg/connect.h"

#include <algorithm>
#include <cmath>
#include <regex>

#include "absl/strings/str_cat.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"

namespace crossover::pg {
namespace {

// Adds connect_timeout unless the dsn has one. Both forms of libpq: key=value words and URIs.
std::string WithConnectTimeout(const std::string& dsn, absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration() || dsn.find("connect_timeout") != std::string::npos)
    return dsn;
  const std::string word = absl::StrCat(
      "connect_timeout=", std::max(2, static_cast<int>(std::ceil(absl::ToDoubleSeconds(timeout)))));
  const bool is_uri = dsn.starts_with("postgres://") || dsn.starts_with("postgresql://");
  if (!is_uri) return dsn + " " + word;
  return dsn + (dsn.find('?') == std::string::npos ? "?" : "&") + word;
}

std::string SessionSettings(pqxx::connection& connection, const ConnectOptions& options) {
  std::string sql = "SET client_min_messages = warning;";
  if (!options.schema.empty()) {
    sql += absl::StrCat("SET search_path TO ", connection.quote_name(options.schema), ";");
  }
  if (!options.application_name.empty()) {
    sql +=
        absl::StrCat("SET application_name TO ", connection.quote(options.application_name), ";");
  }
  if (options.statement_timeout != absl::InfiniteDuration()) {
    sql += absl::StrCat("SET statement_timeout TO ",
                        std::max<int64_t>(1, absl::ToInt64Milliseconds(options.statement_timeout)),
                        ";");
  }
  return sql;
}

}  // namespace

Connection::Connection(const std::string& dsn) : connection_(dsn) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection_.inhibit_reactivation(true);
#pragma GCC diagnostic pop
}

std::string RedactDsn(const std::string& dsn) {
  static const std::regex word("(password\\s*=\\s*)('[^']*'|[^\\s&]+)");
  static const std::regex uri("(://[^:/@]*:)[^@]*@");
  return std::regex_replace(std::regex_replace(dsn, word, "$1***"), uri, "$1***@");
}

absl::StatusOr<std::unique_ptr<Connection>> Connect(const ConnectOptions& options) {
  try {
    auto connection =
        std::make_unique<Connection>(WithConnectTimeout(options.dsn, options.connect_timeout));
    pqxx::nontransaction session(connection->get());
    session.exec(SessionSettings(connection->get(), options));
    return connection;
  } catch (const std::exception& e) {
    std::string words = e.what();
    while (!words.empty() && std::isspace(static_cast<unsigned char>(words.back())) != 0)
      words.pop_back();
    return Error(
        absl::StatusCode::kUnavailable, "POSTGRES_UNAVAILABLE",
        absl::StrCat("cannot connect to Postgres (", RedactDsn(options.dsn), "): ", words));
  }
}

}  // namespace crossover::pg
