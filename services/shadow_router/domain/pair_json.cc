// record_json.h: pairs and their facts.
#include "services/shadow_router/domain/json_values.h"
#include "services/shadow_router/domain/record_json.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

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

}  // namespace crossover::router
