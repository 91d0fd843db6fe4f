#include "services/shadow_router/storage/pg_rows.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/record_json.h"

namespace crossover::router {
namespace {

absl::StatusOr<ExperimentState> StateOf(const pqxx::field& field) {
  const auto state = ParseExperimentState(field.c_str());
  if (state) return *state;
  return absl::DataLossError(
      absl::StrCat("stored experiment state '", field.c_str(), "' is unknown"));
}

}  // namespace

absl::StatusOr<nlohmann::json> JsonOf(const pqxx::field& field) {
  nlohmann::json json = nlohmann::json::parse(field.c_str(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    return absl::DataLossError(absl::StrCat("column ", field.name(), " does not hold JSON"));
  return json;
}

std::string TextOf(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string ColumnText(std::string text) {
  constexpr char kReplacement[] = "\xEF\xBF\xBD";
  for (size_t at = text.find('\0'); at != std::string::npos; at = text.find('\0', at)) {
    text.replace(at, 1, kReplacement);
  }
  return text;
}

absl::StatusOr<absl::Time> TimeOf(const pqxx::field& field) {
  return pg::FromTimestamp(field.c_str());
}

std::string EtagOf(int64_t revision) { return absl::StrCat("v", revision); }

int64_t RevisionOf(const std::string& etag) {
  if (etag.empty()) return 0;
  int64_t revision = 0;
  return etag[0] == 'v' && absl::SimpleAtoi(etag.substr(1), &revision) && revision > 0 ? revision
                                                                                       : -1;
}

absl::Status NotFound(const std::string& name) {
  return Error(absl::StatusCode::kNotFound, absl::StrCat("there is no ", name),
               {.reason = "RESOURCE_NOT_FOUND", .metadata = {{"name", name}}, .violations = {}});
}

absl::Status EtagMismatch(const std::string& name) {
  return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
               absl::StrCat(name, " has changed since it was read; read it again and repeat"));
}

absl::StatusOr<Route> RouteOf(const pqxx::row& row) {
  Route route;
  route.name = row[0].c_str();
  ASSIGN_OR_RETURN(const nlohmann::json settings, JsonOf(row[1]));
  RETURN_IF_ERROR(SettingsFromJson(settings, route));
  route.config_version = row[2].as<int64_t>();
  route.experiment = row[3].is_null() ? "" : row[3].c_str();
  ASSIGN_OR_RETURN(route.create_time, TimeOf(row[4]));
  ASSIGN_OR_RETURN(route.update_time, TimeOf(row[5]));
  route.etag = EtagOf(route.config_version);
  return route;
}

absl::StatusOr<Experiment> ExperimentOf(const pqxx::row& row) {
  Experiment experiment;
  experiment.name = row[0].c_str();
  experiment.route = row[1].c_str();
  ASSIGN_OR_RETURN(const nlohmann::json settings, JsonOf(row[2]));
  RETURN_IF_ERROR(SettingsFromJson(settings, experiment));
  ASSIGN_OR_RETURN(experiment.state, StateOf(row[3]));
  ASSIGN_OR_RETURN(experiment.paused_from, StateOf(row[4]));
  experiment.state_reason = row[5].c_str();
  experiment.step = row[6].as<int>();
  ASSIGN_OR_RETURN(experiment.state_time, TimeOf(row[7]));
  if (!row[8].is_null()) {
    ASSIGN_OR_RETURN(experiment.start_time, TimeOf(row[8]));
  }
  if (!row[9].is_null()) {
    ASSIGN_OR_RETURN(experiment.finish_time, TimeOf(row[9]));
  }
  experiment.comparison = row[10].as<int>();
  experiment.provenance = row[11].c_str();
  experiment.transitions = row[12].as<int64_t>();
  experiment.etag = EtagOf(row[13].as<int64_t>());
  ASSIGN_OR_RETURN(experiment.create_time, TimeOf(row[14]));
  ASSIGN_OR_RETURN(experiment.update_time, TimeOf(row[15]));
  return experiment;
}

absl::StatusOr<Transition> TransitionOf(const pqxx::row& row, const std::string& experiment) {
  Transition transition{.experiment = experiment, .sequence = row[0].as<int64_t>()};
  ASSIGN_OR_RETURN(transition.from, StateOf(row[1]));
  ASSIGN_OR_RETURN(transition.to, StateOf(row[2]));
  transition.from_step = row[3].as<int>();
  transition.to_step = row[4].as<int>();
  transition.actor = row[5].c_str();
  ASSIGN_OR_RETURN(transition.time, TimeOf(row[6]));
  transition.statistics = row[7].c_str();
  transition.words = row[8].c_str();
  return transition;
}

absl::StatusOr<Feedback> FeedbackOf(const pqxx::row& row) {
  Feedback feedback{.id = row[0].c_str(),
                    .project = row[1].c_str(),
                    .inference_id = row[2].c_str(),
                    .name = row[3].c_str(),
                    .value = row[4].c_str(),
                    .author = row[5].c_str()};
  ASSIGN_OR_RETURN(feedback.time, TimeOf(row[6]));
  return feedback;
}

}  // namespace crossover::router
