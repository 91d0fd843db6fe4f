#include "services/shadow_router/domain/experiment.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/list/resource_name.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

constexpr std::array<std::pair<ExperimentState, std::string_view>, 10> kStates = {{
    {ExperimentState::kDraft, "DRAFT"},
    {ExperimentState::kCalibrating, "CALIBRATING"},
    {ExperimentState::kShadow, "SHADOW"},
    {ExperimentState::kCanary, "CANARY"},
    {ExperimentState::kPromoted, "PROMOTED"},
    {ExperimentState::kReverseShadow, "REVERSE_SHADOW"},
    {ExperimentState::kCompleted, "COMPLETED"},
    {ExperimentState::kRolledBack, "ROLLED_BACK"},
    {ExperimentState::kPaused, "PAUSED"},
    {ExperimentState::kAborted, "ABORTED"},
}};

constexpr std::array<std::pair<Gate::Metric, std::string_view>, 5> kMetrics = {{
    {Gate::Metric::kError, "error_rate"},
    {Gate::Metric::kTimeout, "timeout_rate"},
    {Gate::Metric::kInvalidFormat, "format_invalid_rate"},
    {Gate::Metric::kLatency, "latency_p50"},
    {Gate::Metric::kTtft, "ttft_p50"},
}};

void CheckSteps(const std::vector<Step>& steps, std::vector<FieldViolation>& violations) {
  double last = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const std::string path = absl::StrCat("steps[", i, "]");
    if (!(steps[i].weight > last && steps[i].weight <= 1)) {
      violations.push_back({path + ".weight", "weights rise from above 0 to 1"});
    }
    if (steps[i].min_requests < 0 || steps[i].min_duration < absl::ZeroDuration()) {
      violations.push_back({path, "minima are not negative"});
    }
    last = steps[i].weight;
  }
  if (steps.empty() || steps.back().weight != 1) {
    violations.push_back({"steps", "the last step has weight 1"});
  }
}

bool IsEvaluation(const std::string& name) {
  return list::ParseName(name, "projects/*/runs/*").ok() ||
         list::ParseName(name, "projects/*/comparisons/*").ok();
}

std::string Weights(const std::vector<Step>& steps) {
  return absl::StrJoin(steps, ", ", [](std::string* out, const Step& step) {
    absl::StrAppend(out, 100 * step.weight, " %");
  });
}

absl::Status BadOverride(const Override& override, std::string_view what) {
  const std::string message =
      absl::StrCat("override '", override.name, "' = '", override.value, "': ", ToAbsl(what));
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{"overrides", message}}});
}

absl::Status ReadDuration(const Override& override, absl::Duration& out) {
  if (!absl::ParseDuration(override.value, &out) || out < absl::ZeroDuration()) {
    return BadOverride(override, "not a duration such as 90s, 2h or 0s");
  }
  return absl::OkStatus();
}

absl::Status ReadCount(const Override& override, int64_t& out) {
  if (!absl::SimpleAtoi(override.value, &out) || out < 0)
    return BadOverride(override, "not a count");
  return absl::OkStatus();
}

absl::Status ReadShare(const Override& override, double& out) {
  if (!absl::SimpleAtod(override.value, &out) || !(out >= 0 && out <= 1)) {
    return BadOverride(override, "not a share between 0 and 1");
  }
  return absl::OkStatus();
}

absl::Status ApplyMinimum(const Override& override, Experiment& experiment) {
  Minima& minima = experiment.minima;
  if (override.name == "calibration_duration")
    return ReadDuration(override, minima.calibration_duration);
  if (override.name == "calibration_pairs") return ReadCount(override, minima.calibration_pairs);
  if (override.name == "shadow_duration") return ReadDuration(override, minima.shadow_duration);
  if (override.name == "shadow_pairs") return ReadCount(override, minima.shadow_pairs);
  if (override.name == "shadow_coverage") return ReadShare(override, minima.shadow_coverage);
  if (override.name == "reverse_duration") return ReadDuration(override, minima.reverse_duration);
  if (override.name == "evaluation") return absl::OkStatus();
  if (override.name == "step_duration" || override.name == "step_requests") {
    for (Step& step : experiment.steps) {
      const absl::Status status = override.name == "step_duration"
                                      ? ReadDuration(override, step.min_duration)
                                      : ReadCount(override, step.min_requests);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  return BadOverride(override,
                     "no such minimum; there are calibration_duration, calibration_pairs, "
                     "shadow_duration, shadow_pairs, shadow_coverage, "
                     "step_duration, step_requests, reverse_duration, evaluation");
}

}  // namespace

std::string_view ToString(ExperimentState state) {
  for (const auto& [value, name] : kStates) {
    if (value == state) return name;
  }
  return "UNKNOWN";
}

std::optional<ExperimentState> ParseExperimentState(std::string_view name) {
  for (const auto& [value, text] : kStates) {
    if (text == name) return value;
  }
  return std::nullopt;
}

std::string_view ToString(Gate::Metric metric) {
  for (const auto& [value, name] : kMetrics) {
    if (value == metric) return name;
  }
  return "unknown";
}

std::optional<Gate::Metric> ParseGateMetric(std::string_view name) {
  for (const auto& [value, text] : kMetrics) {
    if (text == name) return value;
  }
  return std::nullopt;
}

bool IsTerminal(ExperimentState state) {
  return state == ExperimentState::kCompleted || state == ExperimentState::kRolledBack ||
         state == ExperimentState::kAborted;
}

bool IsRunning(ExperimentState state) {
  return !IsTerminal(state) && state != ExperimentState::kDraft;
}

absl::Status Validate(const Experiment& experiment, const Route& route) {
  std::vector<FieldViolation> violations;
  if (!route.variants.contains(experiment.candidate)) {
    violations.push_back({"candidate", absl::StrCat("'", experiment.candidate,
                                                    "' is not a variant of ", route.name)});
  }
  if (experiment.candidate == experiment.baseline) {
    violations.push_back(
        {"candidate", absl::StrCat("'", experiment.candidate, "' is the route's primary already")});
  }
  if (!(experiment.margin > 0 && experiment.margin < 1)) {
    violations.push_back({"margin", "must lie between 0 and 1, such as 0.02 for two points"});
  }
  if (!(experiment.alpha > 0 && experiment.alpha <= 0.5)) {
    violations.push_back({"alpha", "must lie between 0 and 0.5, such as 0.05"});
  }
  if (!(experiment.shadow_share > 0 && experiment.shadow_share <= 1)) {
    violations.push_back({"shadow_share", "must lie above 0, at most 1"});
  }
  if (!(experiment.double_sample_share >= 0 && experiment.double_sample_share <= 1)) {
    violations.push_back({"double_sample_share", "must lie between 0 and 1"});
  }
  if (experiment.quality_mode == QualityMode::kImprovement && experiment.grade_sources.empty()) {
    violations.push_back(
        {"grade_sources",
         "improvement needs a source of grades (LABEL, VALIDATOR); without one choose "
         "EQUIVALENCE"});
  }
  if (!experiment.grade_sources.empty() &&
      experiment.grade_sources.front() == GradeSource::kFeedback) {
    violations.push_back(
        {"grade_sources",
         "a user's verdict grades only the answer that was seen; put LABEL or VALIDATOR "
         "first"});
  }
  for (GradeSource source : experiment.grade_sources) {
    if (source == GradeSource::kJudge) {
      violations.push_back({"grade_sources", "JUDGE is not available in this version"});
    }
  }
  if (experiment.quality_mode == QualityMode::kEquivalence && experiment.double_sample_share == 0) {
    violations.push_back({"double_sample_share",
                          "equivalence needs a share of requests on which the primary answers "
                          "twice, such as 0.5"});
  }
  if (!experiment.evaluation.empty() && !IsEvaluation(experiment.evaluation)) {
    violations.push_back({"evaluation", absl::StrCat("'", experiment.evaluation,
                                                     "' is not an evaluation: projects/*/runs/* or "
                                                     "projects/*/comparisons/*")});
  }
  CheckSteps(experiment.steps, violations);
  if (experiment.decision_interval <= absl::ZeroDuration()) {
    violations.push_back({"decision_interval", "must be positive, such as 10s"});
  }
  if (violations.empty()) return absl::OkStatus();
  const std::string message =
      absl::StrCat("the experiment is not valid: ", violations.front().field, ": ",
                   violations.front().description);
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = std::move(violations)});
}

void NoteLoweredMinima(const std::string& reason, const std::string& actor, absl::Time now,
                       Experiment& experiment) {
  const Minima usual;
  const Minima& own = experiment.minima;
  const Step step;
  const auto note = [&](bool lowered, const char* name, const std::string& value) {
    if (lowered) experiment.overrides.push_back({name, value, reason, actor, now});
  };
  note(own.calibration_duration < usual.calibration_duration, "calibration_duration",
       absl::FormatDuration(own.calibration_duration));
  note(own.calibration_pairs < usual.calibration_pairs, "calibration_pairs",
       absl::StrCat(own.calibration_pairs));
  note(own.shadow_duration < usual.shadow_duration, "shadow_duration",
       absl::FormatDuration(own.shadow_duration));
  note(own.shadow_pairs < usual.shadow_pairs, "shadow_pairs", absl::StrCat(own.shadow_pairs));
  note(own.shadow_coverage < usual.shadow_coverage, "shadow_coverage",
       absl::StrCat(own.shadow_coverage));
  note(own.reverse_duration < usual.reverse_duration, "reverse_duration",
       absl::FormatDuration(own.reverse_duration));
  absl::Duration shortest = step.min_duration;
  int64_t fewest = step.min_requests;
  for (const Step& one : experiment.steps) {
    shortest = std::min(shortest, one.min_duration);
    fewest = std::min(fewest, one.min_requests);
  }
  note(shortest < step.min_duration, "step_duration", absl::FormatDuration(shortest));
  note(fewest < step.min_requests, "step_requests", absl::StrCat(fewest));
  // How fast users get the candidate: a route that goes from 5 to 100 % hides behind no default.
  const std::string weights = Weights(experiment.steps);
  note(weights != Weights(Experiment().steps), "steps", weights);
}

absl::Status ApplyOverride(const Override& override, Experiment& experiment) {
  if (override.reason.empty()) return BadOverride(override, "an override needs a reason");
  if (absl::Status status = ApplyMinimum(override, experiment); !status.ok()) return status;
  std::erase_if(experiment.overrides,
                [&](const Override& old) { return old.name == override.name; });
  experiment.overrides.push_back(override);
  return absl::OkStatus();
}

TrafficPlan PlanFor(const Experiment& experiment) {
  if (!IsRunning(experiment.state)) return {};
  TrafficPlan plan{.experiment = experiment.name,
                   .comparison = experiment.comparison,
                   .reference = experiment.baseline,
                   .candidate = experiment.candidate,
                   .shadow_share = ToBasisPoints(experiment.shadow_share),
                   .double_share = ToBasisPoints(experiment.double_sample_share)};
  // Paused: nothing moves, the share stays.
  const bool paused = experiment.state == ExperimentState::kPaused;
  switch (paused ? experiment.paused_from : experiment.state) {
    case ExperimentState::kCalibrating:
      plan.self_compare = true;
      break;
    case ExperimentState::kCanary:
      plan.canary_weight =
          ToBasisPoints(experiment.steps[static_cast<size_t>(experiment.step)].weight);
      break;
    case ExperimentState::kPromoted:
    case ExperimentState::kReverseShadow:
      plan.canary_weight = kBuckets;
      break;
    default:
      break;
  }
  return plan;
}

}  // namespace crossover::router
