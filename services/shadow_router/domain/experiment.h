// An experiment: how one route's traffic is carried from its primary to a candidate, or kept where
// it is.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/stats/interval.h"
#include "services/shadow_router/domain/assignment.h"
#include "services/shadow_router/domain/comparator.h"
#include "services/shadow_router/domain/grader.h"

namespace crossover::router {

enum class ExperimentState {
  kDraft,
  kCalibrating,
  kShadow,
  kCanary,
  kPromoted,
  kReverseShadow,
  kCompleted,
  kRolledBack,
  kPaused,
  kAborted,
};
std::string_view ToString(ExperimentState state);  // "DRAFT" …
std::optional<ExperimentState> ParseExperimentState(std::string_view name);

// Whether the runner looks at it: everything between DRAFT and the ends. PAUSED too: nothing moves
// on, but harm still rolls back.
bool IsRunning(ExperimentState state);
bool IsTerminal(ExperimentState state);

// What decides. IMPROVEMENT: graded loss. EQUIVALENCE: agreement, corrected for the primary's own
// noise.
enum class QualityMode { kImprovement, kEquivalence };

struct Step {
  double weight = 0;  // (0,1]; the last one is 1.
  absl::Duration min_duration = absl::Hours(1);
  int64_t min_requests = 200;  // Answered by the candidate during the step.

  bool operator==(const Step&) const = default;
};

// A test that can end the experiment. `margin` is what is tolerated, relative for latency (0.1: a
// tenth slower), ignored for the rates of bad events, where any real excess is harm.
struct Gate {
  enum class Metric { kError, kTimeout, kInvalidFormat, kLatency, kTtft };
  Metric metric = Metric::kError;
  double margin = 0;

  bool operator==(const Gate&) const = default;
};
std::string_view ToString(Gate::Metric metric);  // `error_rate`, `latency_p50` …
std::optional<Gate::Metric> ParseGateMetric(std::string_view name);

inline constexpr double kDefaultLatencyMargin = 0.25;

struct Budgets {
  int64_t tokens_per_day = 0;  // Of mirror calls; 0: no limit.
  double cost_per_day_usd = 0;

  bool operator==(const Budgets&) const = default;
};

// What has to have been seen before the next state, each by its name in `overrides`.
struct Minima {
  absl::Duration calibration_duration = absl::Hours(1);  // "calibration_duration"
  int64_t calibration_pairs = 200;                       // "calibration_pairs"
  absl::Duration shadow_duration = absl::Hours(24 * 7);  // "shadow_duration"
  int64_t shadow_pairs = 1'000;  // "shadow_pairs": valid ones that carry the deciding grade
  double shadow_coverage = 0.8;  // "shadow_coverage": paired / sampled
  absl::Duration reverse_duration = absl::Hours(24 * 14);  // "reverse_duration"

  bool operator==(const Minima&) const = default;
};

// A minimum that a person lowered, by name, with the reason. Kept and shown wherever the experiment
// is. Names: those of Minima, "step_duration", "step_requests" (all steps), "evaluation" (candidate
// not evaluated).
struct Override {
  std::string name;
  std::string value;  // As for the field: "60s", "20", "0.5".
  std::string reason;
  std::string actor;
  absl::Time time;

  bool operator==(const Override&) const = default;
};

struct Experiment {
  std::string name;       // `projects/{p}/experiments/{id}`
  std::string route;      // `projects/{p}/routes/{r}`
  std::string baseline;   // Variant that was primary at Start.
  std::string candidate;  // Variant under trial.
  QualityMode quality_mode = QualityMode::kImprovement;
  std::vector<GradeSource> grade_sources = {GradeSource::kLabel,
                                            GradeSource::kValidator};  // The first decides.
  std::vector<ComparatorSpec>
      comparators;  // The first decides; empty: taken from the task's output contract.
  double margin = 0.02;
  double alpha = 0.05;
  double shadow_share = 1;
  double double_sample_share = 0;
  Budgets budgets;
  std::vector<Step> steps = {
      {.weight = 0.01}, {.weight = 0.05}, {.weight = 0.25}, {.weight = 0.5}, {.weight = 1}};
  std::vector<Gate> gates = {{Gate::Metric::kError},
                             {Gate::Metric::kTimeout},
                             {Gate::Metric::kInvalidFormat},
                             {Gate::Metric::kLatency, kDefaultLatencyMargin}};
  absl::Duration decision_interval = absl::Seconds(10);
  Minima minima;
  std::vector<Override> overrides;

  std::string evaluation;  // Name of the evaluation run or comparison that measured the candidate;
                           // empty: none.

  ExperimentState state = ExperimentState::kDraft;
  ExperimentState paused_from = ExperimentState::kDraft;
  int step = 0;              // Index into `steps` while CANARY.
  std::string state_reason;  // Words of the last transition.
  absl::Time start_time = absl::InfinitePast();
  absl::Time finish_time = absl::InfinitePast();
  absl::Time state_time;   // Entry into the state, or the canary step.
  int comparison = 0;      // Rises when the provenance changes.
  std::string provenance;  // Provenance::Key() of the current comparison; empty before Start.
  // `system_fingerprint` that the legs of the current comparison answered with; empty until seen. A
  // change is another model.
  std::string primary_fingerprint;
  std::string candidate_fingerprint;
  int64_t transitions = 0;  // Number of the last one; the fence of every change.

  std::map<std::string, std::string> labels;
  absl::Time create_time;
  absl::Time update_time;
  std::string etag;
};

// One change of state, kept for good.
struct Transition {
  std::string experiment;
  int64_t sequence = 0;
  ExperimentState from = ExperimentState::kDraft;
  ExperimentState to = ExperimentState::kDraft;
  int from_step = 0;
  int to_step = 0;
  std::string actor;  // Who asked, or "crossover" for a decision of the runner.
  absl::Time time;
  std::string statistics;  // JSON: every test with its numbers at that moment.
  std::string words;       // What happened and why, in one or two sentences.
};

// INVALID_ARGUMENT with one violation per wrong field.
absl::Status Validate(const Experiment& experiment, const Route& route);

// Records every minimum that lies below its default, and canary steps of other weights than the
// default's ("steps"), as an override, so that nobody has to read numbers to notice.
void NoteLoweredMinima(const std::string& reason, const std::string& actor, absl::Time now,
                       Experiment& experiment);

// The minimum in force after overrides. INVALID_ARGUMENT for an unknown name or a value that can't
// be read.
absl::Status ApplyOverride(const Override& override, Experiment& experiment);

// How the experiment bends its route's traffic now. Empty plan if it doesn't.
TrafficPlan PlanFor(const Experiment& experiment);

}  // namespace crossover::router
