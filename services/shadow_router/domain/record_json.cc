#include "services/shadow_router/domain/record_json.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

// Microseconds since 1970, and nanoseconds of durations: exact in JSON's doubles for some centuries
// and weeks.
int64_t Micros(absl::Time time) { return absl::ToUnixMicros(time); }
absl::Time TimeAt(const Json& json) { return absl::FromUnixMicros(json.get<int64_t>()); }
int64_t Nanos(absl::Duration duration) { return absl::ToInt64Nanoseconds(duration); }
absl::Duration DurationOf(const Json& json) { return absl::Nanoseconds(json.get<int64_t>()); }

template <typename T>
void Put(Json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}
template <typename T>
void Take(const Json& json, const char* key, std::optional<T>& value) {
  if (const auto it = json.find(key); it != json.end() && !it->is_null()) value = it->get<T>();
}

// Runs `read` and turns the library's exceptions into a status.
template <typename Read>
absl::Status Guarded(const char* what, const Read& read) {
  try {
    read();
    return absl::OkStatus();
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("stored ", what, " cannot be read: ", error.what()));
  }
}

template <typename T, typename Read>
absl::StatusOr<T> ReadGuarded(const char* what, const Read& read) {
  T value;
  absl::Status status = Guarded(what, [&] { read(value); });
  if (!status.ok()) return status;
  return value;
}

Json UsageJson(const Usage& usage) { return {usage.input, usage.cached_input, usage.output}; }
Usage UsageOf(const Json& json) {
  return {json.at(0).get<int64_t>(), json.at(1).get<int64_t>(), json.at(2).get<int64_t>()};
}

Json LegJson(const Leg& leg) {
  return {{"role", static_cast<int>(leg.role)},
          {"variant", leg.variant},
          {"served", leg.served},
          {"status", static_cast<int>(leg.status)},
          {"http_status", leg.http_status},
          {"error", leg.error},
          {"output", leg.output},
          {"output_digest", leg.output_digest},
          {"output_is_complete", leg.output_is_complete},
          {"usage", UsageJson(leg.usage)},
          {"cost_usd", leg.cost_usd},
          {"streamed", leg.streamed},
          {"ttft_ns", Nanos(leg.ttft)},
          {"latency_ns", Nanos(leg.latency)},
          {"finish_reason", leg.finish_reason},
          {"system_fingerprint", leg.system_fingerprint},
          {"format_valid", leg.format_valid}};
}

Leg LegOf(const Json& json) {
  return {.role = static_cast<LegRole>(json.at("role").get<int>()),
          .variant = json.at("variant"),
          .served = json.at("served"),
          .status = static_cast<CallStatus>(json.at("status").get<int>()),
          .http_status = json.at("http_status"),
          .error = json.at("error"),
          .output = json.at("output"),
          .output_digest = json.at("output_digest"),
          .output_is_complete = json.at("output_is_complete"),
          .usage = UsageOf(json.at("usage")),
          .cost_usd = json.at("cost_usd"),
          .streamed = json.at("streamed"),
          .ttft = DurationOf(json.at("ttft_ns")),
          .latency = DurationOf(json.at("latency_ns")),
          .finish_reason = json.at("finish_reason"),
          .system_fingerprint = json.at("system_fingerprint"),
          .format_valid = json.at("format_valid")};
}

Json ComparisonJson(const ComparisonResult& result) {
  Json fields = Json::array();
  for (const FieldResult& field : result.fields)
    fields.push_back({{"path", field.path}, {"equal", field.equal}});
  return {{"comparator", result.comparator},
          {"equal", result.equal},
          {"score", result.score},
          {"fields", fields}};
}

ComparisonResult ComparisonOf(const Json& json) {
  ComparisonResult result{.comparator = json.at("comparator"),
                          .equal = json.at("equal"),
                          .score = json.at("score"),
                          .fields = {}};
  for (const Json& field : json.at("fields"))
    result.fields.push_back({field.at("path"), field.at("equal")});
  return result;
}

Json GradeJson(const Grade& grade) {
  return {{"source", static_cast<int>(grade.source)},
          {"grader_version", grade.grader_version},
          {"primary_loss", grade.primary_loss},
          {"candidate_loss", grade.candidate_loss},
          {"time_us", Micros(grade.time)}};
}

Grade GradeFromJson(const Json& json) {
  return {.source = static_cast<GradeSource>(json.at("source").get<int>()),
          .grader_version = json.at("grader_version"),
          .primary_loss = json.at("primary_loss"),
          .candidate_loss = json.at("candidate_loss"),
          .time = TimeAt(json.at("time_us"))};
}

Json ProvenanceJson(const Provenance& provenance) {
  return {{"config_version", provenance.config_version},
          {"primary_system", provenance.primary_system},
          {"candidate_system", provenance.candidate_system},
          {"primary_prompt", provenance.primary_prompt},
          {"candidate_prompt", provenance.candidate_prompt},
          {"comparators", provenance.comparators},
          {"primary_sampling", provenance.primary_sampling},
          {"candidate_sampling", provenance.candidate_sampling}};
}

Provenance ProvenanceOf(const Json& json) {
  return {.config_version = json.at("config_version"),
          .primary_system = json.at("primary_system"),
          .candidate_system = json.at("candidate_system"),
          .primary_prompt = json.at("primary_prompt"),
          .candidate_prompt = json.at("candidate_prompt"),
          .comparators = json.at("comparators"),
          .primary_sampling = json.at("primary_sampling"),
          .candidate_sampling = json.at("candidate_sampling")};
}

Json SystemJson(const System& system) {
  return {{"prompt_version", system.prompt_version},
          {"kind", static_cast<int>(system.model.kind)},
          {"model", system.model.model},
          {"digest", system.model.digest},
          {"upstream", system.model.upstream},
          {"revision", system.model.revision},
          {"sampling", system.sampling},
          {"timeout_ns", Nanos(system.timeout)},
          {"display_name", system.display_name}};
}

System SystemOf(const Json& json) {
  System system;
  system.prompt_version = json.at("prompt_version");
  system.model = {.kind = static_cast<ModelRef::Kind>(json.at("kind").get<int>()),
                  .model = json.at("model"),
                  .digest = json.at("digest"),
                  .upstream = json.at("upstream"),
                  .revision = json.value("revision", "")};
  system.sampling = json.at("sampling").get<std::map<std::string, std::string>>();
  system.timeout = DurationOf(json.at("timeout_ns"));
  system.display_name = json.at("display_name");
  return system;
}

Json ComparatorJson(const ComparatorSpec& spec) {
  return {{"kind", static_cast<int>(spec.kind)},
          {"fields", spec.fields},
          {"tolerance", spec.tolerance}};
}

ComparatorSpec ComparatorOf(const Json& json) {
  return {.kind = static_cast<ComparatorSpec::Kind>(json.at("kind").get<int>()),
          .fields = json.at("fields").get<std::vector<std::string>>(),
          .tolerance = json.at("tolerance")};
}

Json MinimaJson(const Minima& minima) {
  return {{"calibration_duration_ns", Nanos(minima.calibration_duration)},
          {"calibration_pairs", minima.calibration_pairs},
          {"shadow_duration_ns", Nanos(minima.shadow_duration)},
          {"shadow_pairs", minima.shadow_pairs},
          {"shadow_coverage", minima.shadow_coverage},
          {"reverse_duration_ns", Nanos(minima.reverse_duration)}};
}

Minima MinimaOf(const Json& json) {
  return {.calibration_duration = DurationOf(json.at("calibration_duration_ns")),
          .calibration_pairs = json.at("calibration_pairs"),
          .shadow_duration = DurationOf(json.at("shadow_duration_ns")),
          .shadow_pairs = json.at("shadow_pairs"),
          .shadow_coverage = json.at("shadow_coverage"),
          .reverse_duration = DurationOf(json.at("reverse_duration_ns"))};
}

}  // namespace

Json ToJson(const Pair& pair) {
  Json json = {{"id", pair.id},
               {"route", pair.route},
               {"experiment", pair.experiment},
               {"comparison", pair.comparison},
               {"request_id", pair.request_id},
               {"completion_id", pair.completion_id},
               {"cluster", pair.cluster},
               {"trace_id", pair.trace_id},
               {"time_us", Micros(pair.time)},
               {"minute_us", Micros(pair.minute)},
               {"self_compare", pair.self_compare},
               {"provenance", ProvenanceJson(pair.provenance)},
               {"input_digest", pair.input_digest},
               {"validity", static_cast<int>(pair.validity)}};
  json["legs"] = Json::array();
  for (const Leg& leg : pair.legs) json["legs"].push_back(LegJson(leg));
  json["comparisons"] = Json::array();
  for (const ComparisonResult& result : pair.comparisons)
    json["comparisons"].push_back(ComparisonJson(result));
  json["grades"] = Json::array();
  for (const Grade& grade : pair.grades) json["grades"].push_back(GradeJson(grade));
  Put(json, "secondary_differs", pair.secondary_differs);
  Put(json, "candidate_differs_from_reference", pair.candidate_differs_from_reference);
  Put(json, "other_differs_from_reference", pair.other_differs_from_reference);
  return json;
}

absl::StatusOr<Pair> PairFromJson(const Json& json) {
  return ReadGuarded<Pair>("pair", [&](Pair& pair) {
    pair.id = json.at("id");
    pair.route = json.at("route");
    pair.experiment = json.at("experiment");
    pair.comparison = json.at("comparison");
    pair.request_id = json.at("request_id");
    pair.completion_id = json.at("completion_id");
    pair.cluster = json.at("cluster");
    pair.trace_id = json.at("trace_id");
    pair.time = TimeAt(json.at("time_us"));
    pair.minute = TimeAt(json.at("minute_us"));
    pair.self_compare = json.at("self_compare");
    pair.provenance = ProvenanceOf(json.at("provenance"));
    pair.input_digest = json.at("input_digest");
    pair.validity = static_cast<Validity>(json.at("validity").get<int>());
    for (const Json& leg : json.at("legs")) pair.legs.push_back(LegOf(leg));
    for (const Json& result : json.at("comparisons"))
      pair.comparisons.push_back(ComparisonOf(result));
    for (const Json& grade : json.at("grades")) pair.grades.push_back(GradeFromJson(grade));
    Take(json, "secondary_differs", pair.secondary_differs);
    Take(json, "candidate_differs_from_reference", pair.candidate_differs_from_reference);
    Take(json, "other_differs_from_reference", pair.other_differs_from_reference);
  });
}

Json ToJson(const PairFacts& facts) {
  Json json = {{"cluster", facts.cluster},
               {"self_compare", facts.self_compare},
               {"validity", static_cast<int>(facts.validity)},
               {"agree", facts.agree},
               {"primary_latency_ns", Nanos(facts.primary_latency)},
               {"candidate_latency_ns", Nanos(facts.candidate_latency)},
               {"primary_ttft_ns", Nanos(facts.primary_ttft)},
               {"candidate_ttft_ns", Nanos(facts.candidate_ttft)},
               {"primary_fingerprint", facts.primary_fingerprint},
               {"candidate_fingerprint", facts.candidate_fingerprint}};
  Put(json, "secondary_differs", facts.secondary_differs);
  Put(json, "candidate_differs_from_reference", facts.candidate_differs_from_reference);
  Put(json, "other_differs_from_reference", facts.other_differs_from_reference);
  return json;
}

absl::StatusOr<PairFacts> PairFactsFromJson(const Json& json) {
  return ReadGuarded<PairFacts>("facts of a pair", [&](PairFacts& facts) {
    facts.cluster = json.at("cluster");
    facts.self_compare = json.at("self_compare");
    facts.validity = static_cast<Validity>(json.at("validity").get<int>());
    facts.agree = json.at("agree");
    facts.primary_latency = DurationOf(json.at("primary_latency_ns"));
    facts.candidate_latency = DurationOf(json.at("candidate_latency_ns"));
    facts.primary_ttft = DurationOf(json.at("primary_ttft_ns"));
    facts.candidate_ttft = DurationOf(json.at("candidate_ttft_ns"));
    facts.primary_fingerprint = json.at("primary_fingerprint");
    facts.candidate_fingerprint = json.at("candidate_fingerprint");
    Take(json, "secondary_differs", facts.secondary_differs);
    Take(json, "candidate_differs_from_reference", facts.candidate_differs_from_reference);
    Take(json, "other_differs_from_reference", facts.other_differs_from_reference);
  });
}

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

namespace {

// The value of a nested read; its error travels as the library's own, so that one guard is enough.
template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok())
    throw Json::other_error::create(501, std::string(value.status().message()), nullptr);
  return *std::move(value);
}

}  // namespace

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

Json SettingsToJson(const Route& route) {
  Json variants = Json::object();
  for (const auto& [name, system] : route.variants) variants[name] = SystemJson(system);
  return {{"task", route.task},           {"mode", static_cast<int>(route.mode)},
          {"variants", variants},         {"primary", route.primary},
          {"fallbacks", route.fallbacks}, {"sticky_by", static_cast<int>(route.sticky_by)},
          {"salt", route.salt},           {"shadow_salt", route.shadow_salt},
          {"labels", route.labels}};
}

absl::Status SettingsFromJson(const Json& json, Route& route) {
  return Guarded("route", [&] {
    route.task = json.at("task");
    route.mode = static_cast<RouteMode>(json.at("mode").get<int>());
    route.variants.clear();
    for (const auto& [name, system] : json.at("variants").items())
      route.variants[name] = SystemOf(system);
    route.primary = json.at("primary");
    route.fallbacks = json.at("fallbacks").get<std::vector<std::string>>();
    route.sticky_by = static_cast<StickyBy>(json.at("sticky_by").get<int>());
    route.salt = json.at("salt");
    route.shadow_salt = json.at("shadow_salt");
    route.labels = json.at("labels").get<std::map<std::string, std::string>>();
  });
}

Json SettingsToJson(const Experiment& experiment) {
  Json json = {{"baseline", experiment.baseline},
               {"candidate", experiment.candidate},
               {"quality_mode", static_cast<int>(experiment.quality_mode)},
               {"margin", experiment.margin},
               {"alpha", experiment.alpha},
               {"shadow_share", experiment.shadow_share},
               {"double_sample_share", experiment.double_sample_share},
               {"tokens_per_day", experiment.budgets.tokens_per_day},
               {"cost_per_day_usd", experiment.budgets.cost_per_day_usd},
               {"decision_interval_ns", Nanos(experiment.decision_interval)},
               {"minima", MinimaJson(experiment.minima)},
               {"evaluation", experiment.evaluation},
               {"primary_fingerprint", experiment.primary_fingerprint},
               {"candidate_fingerprint", experiment.candidate_fingerprint},
               {"labels", experiment.labels}};
  for (const char* list : {"grade_sources", "comparators", "steps", "gates", "overrides"})
    json[list] = Json::array();
  for (GradeSource source : experiment.grade_sources)
    json["grade_sources"].push_back(static_cast<int>(source));
  for (const ComparatorSpec& spec : experiment.comparators)
    json["comparators"].push_back(ComparatorJson(spec));
  for (const Step& step : experiment.steps) {
    json["steps"].push_back({{"weight", step.weight},
                             {"min_duration_ns", Nanos(step.min_duration)},
                             {"min_requests", step.min_requests}});
  }
  for (const Gate& gate : experiment.gates) {
    json["gates"].push_back({{"metric", ToString(gate.metric)}, {"margin", gate.margin}});
  }
  for (const Override& one : experiment.overrides) {
    json["overrides"].push_back({{"name", one.name},
                                 {"value", one.value},
                                 {"reason", one.reason},
                                 {"actor", one.actor},
                                 {"time_us", Micros(one.time)}});
  }
  return json;
}

absl::Status SettingsFromJson(const Json& json, Experiment& experiment) {
  return Guarded("experiment", [&] {
    experiment.baseline = json.at("baseline");
    experiment.candidate = json.at("candidate");
    experiment.quality_mode = static_cast<QualityMode>(json.at("quality_mode").get<int>());
    experiment.margin = json.at("margin");
    experiment.alpha = json.at("alpha");
    experiment.shadow_share = json.at("shadow_share");
    experiment.double_sample_share = json.at("double_sample_share");
    experiment.budgets = {json.at("tokens_per_day"), json.at("cost_per_day_usd")};
    experiment.decision_interval = DurationOf(json.at("decision_interval_ns"));
    experiment.minima = MinimaOf(json.at("minima"));
    experiment.evaluation = json.at("evaluation");
    experiment.primary_fingerprint = json.at("primary_fingerprint");
    experiment.candidate_fingerprint = json.at("candidate_fingerprint");
    experiment.labels = json.at("labels").get<std::map<std::string, std::string>>();
    experiment.grade_sources.clear();
    for (const Json& one : json.at("grade_sources")) {
      experiment.grade_sources.push_back(static_cast<GradeSource>(one.get<int>()));
    }
    experiment.comparators.clear();
    for (const Json& one : json.at("comparators"))
      experiment.comparators.push_back(ComparatorOf(one));
    experiment.steps.clear();
    for (const Json& one : json.at("steps")) {
      experiment.steps.push_back(
          {one.at("weight"), DurationOf(one.at("min_duration_ns")), one.at("min_requests")});
    }
    experiment.gates.clear();
    for (const Json& one : json.at("gates")) {
      const auto metric = ParseGateMetric(one.at("metric").get<std::string>());
      if (metric) experiment.gates.push_back({*metric, one.at("margin")});
    }
    experiment.overrides.clear();
    for (const Json& one : json.at("overrides")) {
      experiment.overrides.push_back({one.at("name"), one.at("value"), one.at("reason"),
                                      one.at("actor"), TimeAt(one.at("time_us"))});
    }
  });
}

}  // namespace crossover::router
