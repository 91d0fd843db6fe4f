#include <cmath>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/convert_util.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

pb::Experiment::State StateOf(ExperimentState state) {
  pb::Experiment::State proto = pb::Experiment::STATE_UNSPECIFIED;
  pb::Experiment::State_Parse(std::string(ToString(state)),
                              &proto);  // The same names on both sides.
  return proto;
}

pb::Experiment::GradeSource SourceOf(GradeSource source) {
  pb::Experiment::GradeSource proto = pb::Experiment::GRADE_SOURCE_UNSPECIFIED;
  pb::Experiment::GradeSource_Parse(std::string(ToString(source)), &proto);
  return proto;
}

absl::StatusOr<GradeSource> SourceFrom(int proto, const std::string& path) {
  switch (proto) {
    case pb::Experiment::LABEL:
      return GradeSource::kLabel;
    case pb::Experiment::FEEDBACK:
      return GradeSource::kFeedback;
    case pb::Experiment::VALIDATOR:
      return GradeSource::kValidator;
    case pb::Experiment::JUDGE:
      return GradeSource::kJudge;
    default:
      return BadField(path, "is not a source of grades");
  }
}

absl::StatusOr<Gate> GateFrom(const pb::Experiment::Gate& proto, const std::string& path) {
  const auto metric = ParseGateMetric(proto.metric());
  if (!metric) {
    return BadField(path + ".metric",
                    absl::StrCat("'", proto.metric(),
                                 "' is not available; there are error_rate, timeout_rate, "
                                 "format_invalid_rate, latency_p50, ttft_p50"));
  }
  if (proto.direction() == pb::Experiment::Gate::DECREASE) {
    return BadField(path + ".direction", "for this metric more is worse: INCREASE");
  }
  if (proto.margin() < 0) return BadField(path + ".margin", "must not be negative");
  return Gate{*metric, proto.margin()};
}

Step StepFrom(const pb::Experiment::Step& proto) {
  Step step{.weight = proto.weight()};
  if (proto.has_min_duration()) step.min_duration = ToAbslDuration(proto.min_duration());
  if (proto.min_requests() > 0) step.min_requests = proto.min_requests();
  return step;
}

absl::Status ReadMinima(const pb::Experiment& proto, Minima& minima) {
  if (proto.calibration().has_duration())
    minima.calibration_duration = ToAbslDuration(proto.calibration().duration());
  if (proto.calibration().pairs() > 0) minima.calibration_pairs = proto.calibration().pairs();
  if (proto.shadow().has_duration())
    minima.shadow_duration = ToAbslDuration(proto.shadow().duration());
  if (proto.shadow().pairs() > 0) minima.shadow_pairs = proto.shadow().pairs();
  if (proto.has_reverse_shadow_duration())
    minima.reverse_duration = ToAbslDuration(proto.reverse_shadow_duration());
  for (absl::Duration duration :
       {minima.calibration_duration, minima.shadow_duration, minima.reverse_duration}) {
    if (duration < absl::ZeroDuration())
      return BadField("shadow.duration", "durations are not negative");
  }
  return absl::OkStatus();
}

pb::Verdict QualityVerdict(const Experiment& experiment, const Verdict& verdict) {
  pb::Verdict proto;
  proto.set_metric("quality");
  if (verdict.deciding > 0) *proto.mutable_difference() = ToProto(verdict.theta);
  proto.set_decides(true);
  proto.set_outcome(verdict.roll_back    ? pb::Verdict::ROLL_BACK
                    : verdict.quality_ok ? pb::Verdict::PROMOTE
                                         : pb::Verdict::CONTINUE);
  if (verdict.pairs_needed) proto.set_needed(*verdict.pairs_needed);
  // Half the interval's width is the smallest difference that the present number of pairs can tell
  // from none.
  if (verdict.deciding > 0)
    proto.set_minimum_detectable_effect((verdict.theta.upper - verdict.theta.lower) / 2);
  proto.set_explanation(verdict.deciding == 0
                            ? "not enough evidence: no pair carries the deciding quantity yet"
                        : experiment.quality_mode == QualityMode::kImprovement
                            ? "graded loss of the candidate minus the primary's"
                            : "disagreement of the candidate beyond the primary's own noise");
  return proto;
}

void AddVerdicts(const Report& report, pb::Experiment& proto) {
  const Verdict& verdict = report.verdict;
  *proto.add_verdicts() = QualityVerdict(report.experiment, verdict);
  pb::Verdict* agreement = proto.add_verdicts();
  agreement->set_metric("agreement");
  if (verdict.pairs > 0) *agreement->mutable_candidate() = ToProto(verdict.agreement);
  if (verdict.noise.n > 0) *agreement->mutable_primary() = ToProto(verdict.noise);
  agreement->set_explanation(
      "share of equal answers; `primary`: share on which the primary differs from itself");
  for (const auto& [source, theta] : verdict.by_source) {
    pb::Verdict* graded = proto.add_verdicts();
    graded->set_metric(absl::StrCat("grade.", std::string(ToString(source))));
    *graded->mutable_difference() = ToProto(theta);
    graded->set_explanation("difference of loss by this source of grades");
  }
  for (const TestReport& test : verdict.tests) {
    pb::Verdict* one = proto.add_verdicts();
    one->set_metric(test.name);
    one->set_decides(test.harm);
    one->set_e_value(1 / std::max(test.p_value, 1e-300));
    one->set_e_threshold(1 / test.alpha);
    one->set_outcome(test.harm && test.fired ? pb::Verdict::ROLL_BACK : pb::Verdict::CONTINUE);
    one->set_explanation(test.words);
  }
}

std::string OverrideWords(const Override& one) {
  return absl::StrCat(one.name, " = ", one.value, " (", one.reason,
                      one.actor.empty() ? "" : absl::StrCat("; by ", one.actor), ")");
}

}  // namespace

type::v1::Interval ToProto(const stats::Interval& interval) {
  type::v1::Interval proto;
  proto.set_point(interval.point);
  proto.set_lower(interval.lower);
  proto.set_upper(interval.upper);
  proto.set_level(interval.level);
  proto.set_method(interval.method);
  proto.set_n(interval.n);
  proto.set_clusters(interval.clusters);
  proto.set_anytime_valid(interval.anytime_valid);
  return proto;
}

absl::StatusOr<Experiment> FromProto(const pb::Experiment& proto) {
  Experiment experiment{
      .name = proto.name(), .route = proto.route(), .candidate = proto.candidate()};
  experiment.quality_mode = proto.quality_mode() == pb::Experiment::EQUIVALENCE
                                ? QualityMode::kEquivalence
                                : QualityMode::kImprovement;
  if (proto.grade_sources_size() > 0) experiment.grade_sources.clear();
  for (int i = 0; i < proto.grade_sources_size(); ++i) {
    ASSIGN_OR_RETURN(const GradeSource source,
                     SourceFrom(proto.grade_sources(i), absl::StrCat("grade_sources[", i, "]")));
    experiment.grade_sources.push_back(source);
  }
  if (proto.margin() != 0) experiment.margin = proto.margin();
  if (proto.alpha() != 0) experiment.alpha = proto.alpha();
  if (proto.shadow_share() != 0) experiment.shadow_share = proto.shadow_share();
  experiment.double_sample_share = proto.double_sample_share();
  experiment.budgets = {proto.budgets().tokens_per_day(), ToUsd(proto.budgets().cost_per_day())};
  if (proto.steps_size() > 0) experiment.steps.clear();
  for (const auto& step : proto.steps()) experiment.steps.push_back(StepFrom(step));
  if (proto.gates_size() > 0) experiment.gates.clear();
  for (int i = 0; i < proto.gates_size(); ++i) {
    ASSIGN_OR_RETURN(const Gate gate, GateFrom(proto.gates(i), absl::StrCat("gates[", i, "]")));
    experiment.gates.push_back(gate);
  }
  if (proto.has_decision_interval())
    experiment.decision_interval = ToAbslDuration(proto.decision_interval());
  RETURN_IF_ERROR(ReadMinima(proto, experiment.minima));
  experiment.evaluation = proto.evaluation();
  for (int i = 0; i < proto.comparators_size(); ++i) {
    ASSIGN_OR_RETURN(ComparatorSpec spec,
                     ComparatorFrom(proto.comparators(i).kind(), proto.comparators(i).parameters(),
                                    absl::StrCat("comparators[", i, "]")));
    experiment.comparators.push_back(std::move(spec));
  }
  experiment.labels.insert(proto.labels().begin(), proto.labels().end());
  experiment.etag = proto.etag();
  return experiment;
}

absl::StatusOr<ComparatorSpec> ComparatorFrom(const std::string& kind,
                                              const std::string& parameters,
                                              const std::string& path) {
  ComparatorSpec spec;
  bool known = false;
  for (auto one :
       {ComparatorSpec::Kind::kExact, ComparatorSpec::Kind::kText, ComparatorSpec::Kind::kJson,
        ComparatorSpec::Kind::kNumeric, ComparatorSpec::Kind::kToolCalls}) {
    if (ToString(one) == kind) {
      spec.kind = one;
      known = true;
    }
  }
  if (!known) {
    return BadField(
        path + ".kind",
        absl::StrCat("'", kind,
                     "' is not available; there are exact, normalised, json_fields, numeric, "
                     "tool_call"));
  }
  if (parameters.empty()) return spec;
  const Json json = Json::parse(parameters, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadField(path + ".parameters", "must be a JSON object");
  if (const auto fields = json.find("fields"); fields != json.end() && fields->is_array()) {
    for (const Json& field : *fields) {
      if (!field.is_string())
        return BadField(path + ".parameters.fields", "must be a list of paths");
      spec.fields.push_back(field.get<std::string>());
    }
  }
  if (const auto tolerance = json.find("tolerance"); tolerance != json.end()) {
    if (!tolerance->is_number() || *tolerance < 0)
      return BadField(path + ".parameters.tolerance", "must be a number >= 0");
    spec.tolerance = *tolerance;
  }
  return spec;
}

pb::Experiment ToProto(const Experiment& experiment) {
  pb::Experiment proto;
  proto.set_name(experiment.name);
  proto.set_route(experiment.route);
  proto.set_candidate(experiment.candidate);
  proto.set_primary(experiment.baseline);
  proto.set_quality_mode(experiment.quality_mode == QualityMode::kEquivalence
                             ? pb::Experiment::EQUIVALENCE
                             : pb::Experiment::IMPROVEMENT);
  for (GradeSource source : experiment.grade_sources) proto.add_grade_sources(SourceOf(source));
  proto.set_margin(experiment.margin);
  proto.set_alpha(experiment.alpha);
  proto.set_shadow_share(experiment.shadow_share);
  proto.set_double_sample_share(experiment.double_sample_share);
  proto.mutable_budgets()->set_tokens_per_day(experiment.budgets.tokens_per_day);
  SetUsd(experiment.budgets.cost_per_day_usd, proto.mutable_budgets()->mutable_cost_per_day());
  for (const Step& step : experiment.steps) {
    pb::Experiment::Step* one = proto.add_steps();
    one->set_weight(step.weight);
    SetDuration(step.min_duration, one->mutable_min_duration());
    one->set_min_requests(step.min_requests);
  }
  for (const Gate& gate : experiment.gates) {
    pb::Experiment::Gate* one = proto.add_gates();
    one->set_metric(std::string(ToString(gate.metric)));
    one->set_direction(pb::Experiment::Gate::INCREASE);
    one->set_margin(gate.margin);
  }
  SetDuration(experiment.decision_interval, proto.mutable_decision_interval());
  SetDuration(experiment.minima.calibration_duration,
              proto.mutable_calibration()->mutable_duration());
  proto.mutable_calibration()->set_pairs(experiment.minima.calibration_pairs);
  SetDuration(experiment.minima.shadow_duration, proto.mutable_shadow()->mutable_duration());
  proto.mutable_shadow()->set_pairs(experiment.minima.shadow_pairs);
  SetDuration(experiment.minima.reverse_duration, proto.mutable_reverse_shadow_duration());
  proto.set_evaluation(experiment.evaluation);
  for (const ComparatorSpec& spec : experiment.comparators) {
    pb::Comparator* one = proto.add_comparators();
    one->set_kind(std::string(ToString(spec.kind)));
    one->set_parameters(Json{{"fields", spec.fields}, {"tolerance", spec.tolerance}}.dump());
  }
  proto.mutable_labels()->insert(experiment.labels.begin(), experiment.labels.end());
  proto.set_etag(experiment.etag);
  SetTime(experiment.create_time, proto.mutable_create_time());
  SetTime(experiment.update_time, proto.mutable_update_time());
  proto.set_state(StateOf(experiment.state));
  proto.set_state_reason(experiment.state_reason);
  proto.set_step(experiment.step);
  proto.set_comparison(experiment.comparison);
  if (experiment.start_time != absl::InfinitePast())
    SetTime(experiment.start_time, proto.mutable_start_time());
  if (experiment.finish_time != absl::InfinitePast())
    SetTime(experiment.finish_time, proto.mutable_finish_time());
  SetTime(experiment.state_time, proto.mutable_state_time());
  if (experiment.state == ExperimentState::kPaused)
    proto.set_paused_from(StateOf(experiment.paused_from));
  for (const Override& one : experiment.overrides) proto.add_overrides(OverrideWords(one));
  proto.set_weight(static_cast<double>(PlanFor(experiment).canary_weight) / kBuckets);
  if (experiment.state == ExperimentState::kCompleted) proto.set_weight(1);
  return proto;
}

pb::Experiment ToProto(const Report& report) {
  pb::Experiment proto = ToProto(report.experiment);
  proto.set_valid_pairs(report.verdict.pairs);
  proto.set_graded_pairs(report.verdict.deciding);
  proto.set_calibration_pairs(report.verdict.calibration_pairs);
  for (const auto& [validity, count] : report.verdict.uncounted) {
    (*proto.mutable_uncounted_pairs())[std::string(ToString(validity))] = count;
  }
  AddVerdicts(report, proto);
  return proto;
}

pb::Transition ToProto(const Transition& transition) {
  pb::Transition proto;
  proto.set_sequence(transition.sequence);
  SetTime(transition.time, proto.mutable_time());
  proto.set_from_state(StateOf(transition.from));
  proto.set_to_state(StateOf(transition.to));
  proto.set_from_step(transition.from_step);
  proto.set_to_step(transition.to_step);
  proto.set_actor(transition.actor);
  proto.set_words(transition.words);
  const Json statistics = Json::parse(transition.statistics, nullptr, /*allow_exceptions=*/false);
  if (!statistics.is_object()) return proto;
  if (const auto theta = stats::IntervalFromJson(statistics.value("theta", Json()));
      theta.ok() && theta->n > 0) {
    pb::Verdict* quality = proto.add_statistics();
    quality->set_metric("quality");
    *quality->mutable_difference() = ToProto(*theta);
    quality->set_decides(true);
  }
  for (const Json& test : statistics.value("tests", Json::array())) {
    pb::Verdict* one = proto.add_statistics();
    one->set_metric(test.value("name", ""));
    one->set_e_value(1 / std::max(test.value("p_value", 1.0), 1e-300));
    one->set_e_threshold(1 / std::max(test.value("alpha", 1.0), 1e-300));
    one->set_decides(test.value("harm", false));
    one->set_outcome(test.value("harm", false) && test.value("fired", false)
                         ? pb::Verdict::ROLL_BACK
                         : pb::Verdict::CONTINUE);
    one->set_explanation(test.value("words", ""));
  }
  return proto;
}

void AddConditions(const Report& report,
                   google::protobuf::RepeatedPtrField<type::v1::Evidence>& out) {
  for (const Condition& condition : report.conditions) {
    type::v1::Evidence* evidence = out.Add();
    evidence->set_condition(condition.name);
    evidence->set_kind(type::v1::Evidence::NECESSARY);
    evidence->set_status(condition.met ? type::v1::Evidence::MET : type::v1::Evidence::NOT_MET);
    evidence->set_source(type::v1::Evidence::MEASURED);
    evidence->set_value(condition.words);
    evidence->set_explanation(absl::StrCat(condition.name, ": ", condition.words));
    if (condition.name == "quality" && report.verdict.deciding > 0) {
      *evidence->mutable_interval() = ToProto(report.verdict.theta);
    }
  }
}

}  // namespace crossover::router
