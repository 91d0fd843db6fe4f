// Rows of the router's tables as domain values. Private to storage.
#pragma once

#include <optional>
#include <pqxx/pqxx>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// Columns in the order of get_route.sql and get_experiment.sql. DATA_LOSS for what was not written
// by this code.
absl::StatusOr<Route> RouteOf(const pqxx::row& row);
absl::StatusOr<Experiment> ExperimentOf(const pqxx::row& row);
absl::StatusOr<Transition> TransitionOf(const pqxx::row& row, const std::string& experiment);
absl::StatusOr<Feedback> FeedbackOf(const pqxx::row& row);

absl::StatusOr<nlohmann::json> JsonOf(const pqxx::field& field);
std::string TextOf(const nlohmann::json& json);  // Invalid UTF-8 replaced: Postgres refuses it.
// For a text column: U+0000, which Postgres cannot hold, becomes U+FFFD.
std::string ColumnText(std::string text);
absl::StatusOr<absl::Time> TimeOf(const pqxx::field& field);

// "v12" ↔ 12; 0 for an empty etag; -1 for one that this code never gives.
std::string EtagOf(int64_t revision);
int64_t RevisionOf(const std::string& etag);

absl::Status NotFound(const std::string& name);
absl::Status EtagMismatch(const std::string& name);

}  // namespace crossover::router
