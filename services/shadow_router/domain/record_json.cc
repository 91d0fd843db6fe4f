#include "services/shadow_router/domain/record_json.h"

#include <map>
#include <string>
#include <utility>

#include "services/shadow_router/domain/json_values.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

// The value of a nested read; its error travels as the library's own, so that one guard is enough.
template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok())
    throw Json::other_error::create(501, std::string(value.status().message()), nullptr);
  return *std::move(value);
}

}  // namespace

Json ToJson(const LedgerCounts& counts) {
  return {{"eligible", counts.eligible}, {"sampled", counts.sampled},
          {"paired", counts.paired},     {"failed", counts.failed},
          {"dropped", counts.dropped},   {"in_flight", counts.in_flight},
          {"bytes", counts.bytes}};
}

absl::StatusOr<LedgerCounts> LedgerCountsFromJson(const Json& json) {
  return ReadGuarded<LedgerCounts>("ledger row", [&](LedgerCounts& counts) {
    counts.eligible = json.at("eligible");
    counts.sampled = json.at("sampled");
    counts.paired = json.at("paired");
    counts.failed = json.at("failed").get<std::map<std::string, int64_t>>();
    counts.dropped = json.at("dropped").get<std::map<std::string, int64_t>>();
    counts.in_flight = json.at("in_flight");
    counts.bytes = json.at("bytes");
  });
}

Json ToJson(const ArmCounts& counts) {
  return {{"reference_requests", counts.reference_requests},
          {"candidate_requests", counts.candidate_requests},
          {"reference_events", counts.reference_events},
          {"candidate_events", counts.candidate_events}};
}

absl::StatusOr<ArmCounts> ArmCountsFromJson(const Json& json) {
  return ReadGuarded<ArmCounts>("arm counts", [&](ArmCounts& counts) {
    counts.reference_requests = json.at("reference_requests");
    counts.candidate_requests = json.at("candidate_requests");
    counts.reference_events = json.at("reference_events").get<std::map<std::string, int64_t>>();
    counts.candidate_events = json.at("candidate_events").get<std::map<std::string, int64_t>>();
  });
}

Json ToJson(const Recording& recording) {
  return {{"id", recording.id},
          {"route", recording.route},
          {"variant", recording.variant},
          {"request_id", recording.request_id},
          {"completion_id", recording.completion_id},
          {"time_us", Micros(recording.time)},
          {"request", recording.request},
          {"response", recording.response},
          {"tool_calls", recording.tool_calls},
          {"finish_reason", recording.finish_reason},
          {"metadata", recording.metadata},
          {"redactions", recording.redactions},
          {"input_digest", recording.input_digest},
          {"usage", UsageJson(recording.usage)}};
}

absl::StatusOr<Recording> RecordingFromJson(const Json& json) {
  return ReadGuarded<Recording>("recording", [&](Recording& recording) {
    recording.id = json.at("id");
    recording.route = json.at("route");
    recording.variant = json.at("variant");
    recording.request_id = json.at("request_id");
    recording.completion_id = json.at("completion_id");
    recording.time = TimeAt(json.at("time_us"));
    recording.request = json.at("request");
    recording.response = json.at("response");
    recording.tool_calls = json.at("tool_calls");
    recording.finish_reason = json.at("finish_reason");
    recording.metadata = json.at("metadata").get<std::map<std::string, std::string>>();
    recording.redactions = json.at("redactions");
    recording.input_digest = json.at("input_digest");
    recording.usage = UsageOf(json.at("usage"));
  });
}

Json ToJson(const Batch& batch) {
  Json json = {{"instance", batch.instance}, {"incarnation", batch.incarnation}};
  json["ledger"] = Json::array();
  for (const auto& [key, counts] : batch.ledger) {
    json["ledger"].push_back({{"experiment", key.experiment},
                              {"comparison", key.comparison},
                              {"minute_us", Micros(key.minute)},
                              {"counts", ToJson(counts)}});
  }
  json["arms"] = Json::array();
  for (const auto& [key, counts] : batch.arms) {
    json["arms"].push_back({{"experiment", key.experiment},
                            {"comparison", key.comparison},
                            {"weight", key.weight},
                            {"counts", ToJson(counts)}});
  }
  json["pairs"] = Json::array();
  for (const Pair& pair : batch.pairs) json["pairs"].push_back(ToJson(pair));
  json["recordings"] = Json::array();
  for (const Recording& recording : batch.recordings)
    json["recordings"].push_back(ToJson(recording));
  return json;
}

absl::StatusOr<Batch> BatchFromJson(const Json& json) {
  return ReadGuarded<Batch>("batch", [&](Batch& batch) {
    batch.instance = json.at("instance");
    batch.incarnation = json.at("incarnation");
    for (const Json& row : json.at("ledger")) {
      batch.ledger.emplace_back(
          LedgerKey{row.at("experiment"), row.at("comparison"), TimeAt(row.at("minute_us"))},
          Must(LedgerCountsFromJson(row.at("counts"))));
    }
    for (const Json& row : json.at("arms")) {
      batch.arms.emplace_back(ArmKey{row.at("experiment"), row.at("comparison"), row.at("weight")},
                              Must(ArmCountsFromJson(row.at("counts"))));
    }
    for (const Json& pair : json.at("pairs")) batch.pairs.push_back(Must(PairFromJson(pair)));
    for (const Json& one : json.at("recordings"))
      batch.recordings.push_back(Must(RecordingFromJson(one)));
  });
}

Json ToJson(const Feedback& feedback) {
  return {{"id", feedback.id},
          {"project", feedback.project},
          {"inference_id", feedback.inference_id},
          {"name", feedback.name},
          {"value", feedback.value},
          {"author", feedback.author},
          {"time_us", Micros(feedback.time)}};
}

absl::StatusOr<Feedback> FeedbackFromJson(const Json& json) {
  return ReadGuarded<Feedback>("feedback", [&](Feedback& feedback) {
    feedback = {.id = json.at("id"),
                .project = json.at("project"),
                .inference_id = json.at("inference_id"),
                .name = json.at("name"),
                .value = json.at("value"),
                .author = json.at("author"),
                .time = TimeAt(json.at("time_us"))};
  });
}

}  // namespace crossover::router
