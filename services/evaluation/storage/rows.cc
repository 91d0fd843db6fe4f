#include "services/evaluation/storage/rows.h"

#include <nlohmann/json.hpp>

#include "common/pg/transaction.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {

Document ToDocument(const pqxx::row& row) {
  return {.kind = row[0].as<std::string>(),
          .name = row[1].as<std::string>(),
          .project = row[2].as<std::string>(),
          .task = row[3].as<std::string>(),
          .parent = row[4].as<std::string>(),
          .state = row[5].as<std::string>(),
          .body = row[6].as<std::string>(),
          .version = row[7].as<int64_t>(),
          .sequence = row[8].as<int64_t>()};
}

absl::StatusOr<Answer> ToAnswer(const pqxx::row& row) {
  Answer answer{.suite_digest = row[0].as<std::string>(),
                .row_digest = row[1].as<std::string>(),
                .system_digest = row[2].as<std::string>(),
                .repeat = row[3].as<int>(),
                .run = row[4].as<std::string>(),
                .output = row[5].as<std::string>(),
                .finish_reason = row[6].as<std::string>(),
                .error = row[7].as<std::string>()};
  answer.usage = {.input = row[8].as<int64_t>(),
                  .cached_input = row[9].as<int64_t>(),
                  .output = row[10].as<int64_t>()};
  answer.cost_known = !row[11].is_null();
  if (answer.cost_known) answer.cost = row[11].as<double>();
  answer.latency_seconds = row[12].as<double>();
  answer.first_token_seconds = row[13].as<double>();
  answer.cached = row[14].as<bool>();
  answer.revision = row[15].as<std::string>();
  ASSIGN_OR_RETURN(answer.time, pg::FromTimestamp(row[16].as<std::string>()));
  return answer;
}

std::string ToText(const std::string& text) {
  // nlohmann replaces what is not UTF-8 when it writes; reading it back gives the repaired text.
  std::string quoted =
      nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string repaired = nlohmann::json::parse(quoted).get<std::string>();
  for (size_t at = repaired.find('\0'); at != std::string::npos; at = repaired.find('\0', at))
    repaired.replace(at, 1, "\xEF\xBF\xBD");
  return repaired;
}

}  // namespace crossover::evaluation
