// Pairs, batches and feedback as JSON: the journal's records and the database's json columns.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/experiment.h"
#include "services/shadow_router/domain/pair.h"
#include "services/shadow_router/domain/route.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// FromJson: DATA_LOSS if the text is not what ToJson writes.
nlohmann::json ToJson(const Batch& batch);
absl::StatusOr<Batch> BatchFromJson(const nlohmann::json& json);
nlohmann::json ToJson(const Feedback& feedback);
absl::StatusOr<Feedback> FeedbackFromJson(const nlohmann::json& json);

nlohmann::json ToJson(const Pair& pair);
absl::StatusOr<Pair> PairFromJson(const nlohmann::json& json);
// All but the sequence, which is the row's.
nlohmann::json ToJson(const PairFacts& facts);
absl::StatusOr<PairFacts> PairFactsFromJson(const nlohmann::json& json);
nlohmann::json ToJson(const LedgerCounts& counts);
absl::StatusOr<LedgerCounts> LedgerCountsFromJson(const nlohmann::json& json);
nlohmann::json ToJson(const ArmCounts& counts);
absl::StatusOr<ArmCounts> ArmCountsFromJson(const nlohmann::json& json);
nlohmann::json ToJson(const Recording& recording);
absl::StatusOr<Recording> RecordingFromJson(const nlohmann::json& json);

// Everything of a route but name, experiment, version, etag and times: those are columns.
nlohmann::json SettingsToJson(const Route& route);
absl::Status SettingsFromJson(const nlohmann::json& json, Route& route);
// Everything of an experiment but name, route, state columns, etag and times.
nlohmann::json SettingsToJson(const Experiment& experiment);
absl::Status SettingsFromJson(const nlohmann::json& json, Experiment& experiment);

}  // namespace crossover::router
