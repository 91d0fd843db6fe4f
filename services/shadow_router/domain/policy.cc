#include "services/shadow_router/domain/policy.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

using State = ExperimentState;

std::string Points(double value) {
  return std::isfinite(value) ? absl::StrFormat("%+.1f", 100 * value)
                              : (value < 0 ? "-inf" : "+inf");
}

// Seconds and below are noise in a sentence about hours.
std::string Words(absl::Duration duration) {
  if (duration > absl::Minutes(2)) duration = absl::Trunc(duration, absl::Minutes(1));
  return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
}

Condition AtLeast(std::string name, absl::Duration have, absl::Duration want) {
  return {std::move(name), have >= want, absl::StrCat(Words(have), " of ", Words(want))};
}

Condition AtLeast(std::string name, int64_t have, int64_t want) {
  return {std::move(name), have >= want, absl::StrCat(have, " of ", want)};
}

Condition Coverage(const Experiment& experiment, const LedgerCounts& ledger) {
  const int64_t ended = ledger.sampled - ledger.in_flight;
  const double share =
      ended > 0 ? static_cast<double>(ledger.paired) / static_cast<double>(ended) : 0;
  return {"shadow_coverage", ended > 0 && share >= experiment.minima.shadow_coverage,
          absl::StrFormat("%.0f %% of sampled requests became pairs, %.0f %% needed", 100 * share,
                          100 * experiment.minima.shadow_coverage)};
}

Condition Quality(const Experiment& experiment, const Verdict& verdict) {
  if (verdict.deciding == 0) {
    return {"quality", false,
            experiment.quality_mode == QualityMode::kImprovement
                ? absl::StrCat("no pair carries a grade from ",
                               std::string(ToString(experiment.grade_sources.front())),
                               " yet: not enough evidence")
                : "no double-sampled pair yet: not enough evidence"};
  }
  return {"quality", verdict.quality_ok,
          absl::StrFormat("upper bound of the difference %s points, needed below %s",
                          Points(verdict.theta.upper), Points(experiment.margin))};
}

std::string FiredWords(const Verdict& verdict) {
  std::vector<std::string> fired;
  for (const TestReport& test : verdict.tests) {
    if (test.harm && test.fired) fired.push_back(absl::StrCat(test.name, " (", test.words, ")"));
  }
  return absl::StrJoin(fired, "; ");
}

Move RollBack(const Experiment& experiment, const Verdict& verdict) {
  return {State::kRolledBack, 0,
          absl::StrCat("Harm: ", FiredWords(verdict), ". All traffic goes back to '",
                       experiment.baseline, "'.")};
}

bool AllMet(const std::vector<Condition>& conditions) {
  return std::all_of(conditions.begin(), conditions.end(),
                     [](const Condition& one) { return one.met; });
}

std::string StepWords(const Experiment& experiment, int step) {
  return absl::StrFormat("%g %% of the traffic",
                         100 * experiment.steps[static_cast<size_t>(step)].weight);
}

Move NextCanary(const Experiment& experiment) {
  const int next = experiment.state == State::kCanary ? experiment.step + 1 : 0;
  if (next == static_cast<int>(experiment.steps.size())) {
    return {State::kPromoted, 0,
            absl::StrCat("'", experiment.candidate, "' is the route's primary now.")};
  }
  return {State::kCanary, next,
          absl::StrCat("'", experiment.candidate, "' answers ", StepWords(experiment, next), ".")};
}

Move Next(const Experiment& experiment, const Verdict& verdict) {
  switch (experiment.state) {
    case State::kCalibrating:
      return {State::kShadow, 0,
              absl::StrCat("The primary was compared with itself on ", verdict.calibration_pairs,
                           " pairs and no test fired. '", experiment.candidate,
                           "' sees mirrored requests now; users do not see its answers.")};
    case State::kShadow:
    case State::kCanary:
      return NextCanary(experiment);
    case State::kPromoted:
      return {State::kReverseShadow, 0,
              absl::StrCat("'", experiment.baseline,
                           "' keeps running as a sampled shadow; rollback stays one command.")};
    default:
      return {State::kCompleted, 0,
              absl::StrCat("The reverse shadow is over; '", experiment.candidate, "' stays.")};
  }
}

bool Allowed(State state, Verb verb) {
  switch (verb) {
    case Verb::kStart:
      return state == State::kDraft;
    case Verb::kAdvance:
    case Verb::kPause:
      return IsRunning(state) && state != State::kPaused;
    case Verb::kResume:
      return state == State::kPaused;
    case Verb::kRollback:
      return IsRunning(state);
    case Verb::kAbort:
      return !IsTerminal(state);
  }
  return false;
}

constexpr std::array<Verb, 6> kVerbs = {Verb::kStart,  Verb::kAdvance,  Verb::kPause,
                                        Verb::kResume, Verb::kRollback, Verb::kAbort};

absl::Status NotAllowed(const Experiment& experiment, Verb verb) {
  std::vector<std::string> allowed;
  for (Verb one : kVerbs) {
    if (Allowed(experiment.state, one)) allowed.emplace_back(ToString(one));
  }
  const std::string list = allowed.empty() ? "nothing: it has ended" : absl::StrJoin(allowed, ", ");
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat(experiment.name, " is ", std::string(ToString(experiment.state)), "; ",
                            std::string(ToString(verb)), " is not possible. Possible: ", list),
               {.reason = "STATE_INVALID",
                .metadata = {{"state", std::string(ToString(experiment.state))},
                             {"allowed", absl::StrJoin(allowed, ",")}},
                .violations = {}});
}

std::string ShownOverrides(const Experiment& experiment) {
  std::string text;
  for (const Override& one : experiment.overrides) {
    absl::StrAppend(&text, "Overridden by ", one.actor, ": ", one.name, " = ", one.value, " (",
                    one.reason, "). ");
  }
  return text;
}

std::string QualityWords(const Experiment& experiment, const Verdict& verdict) {
  if (verdict.deciding == 0) return "";
  const char* what = experiment.quality_mode == QualityMode::kImprovement
                         ? "graded loss of the candidate minus the primary's"
                         : "disagreement of the candidate beyond the primary's own noise";
  return absl::StrFormat(
      "%d pairs decide: %s is %s points, between %s and %s (%.0f %%, valid at every look). ",
      verdict.deciding, what, Points(verdict.theta.point), Points(verdict.theta.lower),
      Points(verdict.theta.upper), 100 * verdict.theta.level);
}

}  // namespace

std::string_view ToString(Verb verb) {
  constexpr std::array<std::string_view, 6> kNames = {"Start",  "Advance",  "Pause",
                                                      "Resume", "Rollback", "Abort"};
  return kNames[static_cast<size_t>(verb)];
}

std::vector<Condition> Conditions(const Experiment& experiment, const Verdict& verdict,
                                  const Progress& progress, absl::Time now) {
  const absl::Duration elapsed = now - experiment.state_time;
  const Minima& minima = experiment.minima;
  switch (experiment.state) {
    case State::kCalibrating:
      return {AtLeast("calibration_duration", elapsed, minima.calibration_duration),
              AtLeast("calibration_pairs", verdict.calibration_pairs, minima.calibration_pairs)};
    case State::kShadow:
      return {AtLeast("shadow_duration", elapsed, minima.shadow_duration),
              AtLeast("shadow_pairs", verdict.deciding, minima.shadow_pairs),
              Coverage(experiment, progress.ledger), Quality(experiment, verdict)};
    case State::kCanary: {
      const Step& step = experiment.steps[static_cast<size_t>(experiment.step)];
      return {AtLeast("step_duration", elapsed, step.min_duration),
              AtLeast("step_requests", progress.step_requests, step.min_requests),
              Quality(experiment, verdict)};
    }
    case State::kReverseShadow:
      return {AtLeast("reverse_duration", elapsed, minima.reverse_duration)};
    default:
      return {};
  }
}

std::optional<Move> Decide(const Experiment& experiment, const Verdict& verdict,
                           const Progress& progress, absl::Time now) {
  if (!IsRunning(experiment.state)) return std::nullopt;
  const State active =
      experiment.state == State::kPaused ? experiment.paused_from : experiment.state;
  if (active != State::kCalibrating && verdict.roll_back) return RollBack(experiment, verdict);
  if (experiment.state == State::kPaused) return std::nullopt;
  if (experiment.state == State::kCalibrating && verdict.calibration_fired) {
    return Move{
        State::kPaused, 0,
        "The primary compared with itself shows a difference: something in the set-up (a cache, a "
        "changing "
        "model, the grader) is not what it seems. Nothing can be compared until that is found."};
  }
  if (!AllMet(Conditions(experiment, verdict, progress, now))) return std::nullopt;
  return Next(experiment, verdict);
}

absl::StatusOr<Move> Apply(const Experiment& experiment, const Verdict& verdict, Verb verb,
                           const std::string& reason) {
  if (!Allowed(experiment.state, verb)) return NotAllowed(experiment, verb);
  if (verb == Verb::kAdvance && (verdict.roll_back || verdict.calibration_fired)) {
    return Error(absl::StatusCode::kFailedPrecondition, "GATE_NOT_MET",
                 absl::StrCat("a test has fired and cannot be overridden: ",
                              verdict.calibration_fired ? "calibration" : FiredWords(verdict)));
  }
  if ((verb == Verb::kAdvance || verb == Verb::kRollback) && reason.empty()) {
    return Error(absl::StatusCode::kInvalidArgument,
                 absl::StrCat(std::string(ToString(verb)), " needs a reason"),
                 {.reason = "FIELD_REQUIRED",
                  .metadata = {},
                  .violations = {{"reason", "must not be empty"}}});
  }
  const std::string because = reason.empty() ? "" : absl::StrCat(" Reason: ", reason, ".");
  switch (verb) {
    case Verb::kStart:
      return Move{State::kCalibrating, 0,
                  absl::StrCat("Calibrating: '", experiment.baseline,
                               "' is compared with itself first.", because)};
    case Verb::kAdvance: {
      Move move = Next(experiment, verdict);
      move.words = absl::StrCat("Advanced by hand. ", move.words, because);
      return move;
    }
    case Verb::kPause:
      return Move{State::kPaused, experiment.step,
                  absl::StrCat("Paused: nothing moves on, the share stays; harm still rolls back.",
                               because)};
    case Verb::kResume:
      return Move{experiment.paused_from, experiment.step, absl::StrCat("Resumed.", because)};
    case Verb::kRollback:
      return Move{State::kRolledBack, 0,
                  absl::StrCat("Rolled back by hand: '", experiment.baseline,
                               "' answers everything.", because)};
    case Verb::kAbort:
      return Move{
          State::kAborted, 0,
          experiment.state == State::kDraft
              ? absl::StrCat("Aborted: it was never started.", because)
              : absl::StrCat("Aborted: '", experiment.baseline, "' answers everything.", because)};
  }
  return NotAllowed(experiment, verb);
}

std::optional<absl::Duration> Eta(const Experiment& experiment, const Verdict& verdict,
                                  const Progress& progress, absl::Time now) {
  const absl::Duration elapsed = now - experiment.state_time;
  absl::Duration by_time = absl::ZeroDuration();
  if (experiment.state == State::kShadow) by_time = experiment.minima.shadow_duration - elapsed;
  if (experiment.state == State::kCanary) {
    by_time = experiment.steps[static_cast<size_t>(experiment.step)].min_duration - elapsed;
  }
  if (experiment.state == State::kReverseShadow)
    return std::max(absl::ZeroDuration(), experiment.minima.reverse_duration - elapsed);
  if (experiment.state != State::kShadow && experiment.state != State::kCanary) return std::nullopt;
  if (!verdict.pairs_needed) return std::nullopt;
  int64_t pairs = *verdict.pairs_needed;
  if (experiment.state == State::kShadow) {
    pairs = std::max(pairs, experiment.minima.shadow_pairs - verdict.deciding);
  }
  if (pairs > 0 && progress.pairs_per_second <= 0) return std::nullopt;
  const absl::Duration by_pairs =
      pairs > 0 ? absl::Seconds(static_cast<double>(pairs) / progress.pairs_per_second)
                : absl::ZeroDuration();
  return std::max({absl::ZeroDuration(), by_time, by_pairs});
}

std::string Explain(const Experiment& experiment, const Verdict& verdict, const Progress& progress,
                    absl::Time now) {
  std::string text = absl::StrCat("The experiment is ", std::string(ToString(experiment.state)));
  if (experiment.state == State::kCanary) {
    absl::StrAppend(&text, " (step ", experiment.step + 1, " of ", experiment.steps.size(), ", ",
                    StepWords(experiment, experiment.step), ")");
  }
  const absl::Duration since = now - experiment.state_time;
  if (since >= absl::Seconds(1)) absl::StrAppend(&text, " for ", Words(since));
  absl::StrAppend(&text, ": candidate '", experiment.candidate, "' against '", experiment.baseline,
                  "'. ");
  absl::StrAppend(&text, QualityWords(experiment, verdict));
  if (verdict.pairs > 0) {
    absl::StrAppend(&text,
                    absl::StrFormat("They agree on %.0f %% of %d valid pairs%s. ",
                                    100 * verdict.agreement.point, verdict.pairs,
                                    experiment.quality_mode == QualityMode::kImprovement
                                        ? " (shown; a better model disagrees with a worse one)"
                                        : ""));
  }
  for (const Condition& condition : Conditions(experiment, verdict, progress, now)) {
    absl::StrAppend(&text, condition.met ? "Met: " : "Waiting for: ", condition.name, " (",
                    condition.words, "). ");
  }
  const std::string fired = FiredWords(verdict);
  if (!fired.empty()) absl::StrAppend(&text, "Fired: ", fired, ". ");
  if (const auto eta = Eta(experiment, verdict, progress, now);
      eta && *eta > absl::ZeroDuration()) {
    absl::StrAppend(&text, "At this rate in about ", Words(*eta), ". ");
  }
  absl::StrAppend(&text, ShownOverrides(experiment));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace crossover::router
