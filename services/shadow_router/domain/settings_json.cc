// record_json.h: settings of routes and experiments.
#include <map>
#include <string>
#include <vector>

#include "services/shadow_router/domain/json_values.h"
#include "services/shadow_router/domain/record_json.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

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
