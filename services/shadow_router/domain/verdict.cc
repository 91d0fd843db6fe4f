#include "services/shadow_router/domain/verdict.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace crossover::router {
namespace {

// Lower and upper bound of theta, McNemar, and one test per gate.
int HarmTests(const Experiment& experiment) {
  return 2 + static_cast<int>(experiment.gates.size());
}

bool IsPaired(Gate::Metric metric) {
  return metric == Gate::Metric::kLatency || metric == Gate::Metric::kTtft;
}

GradeSource DecidingSource(const Experiment& experiment) {
  return experiment.grade_sources.empty() ? GradeSource::kLabel : experiment.grade_sources.front();
}

int64_t EventCount(const std::map<std::string, int64_t>& events, std::string_view name) {
  const auto it = events.find(std::string(name));
  return it == events.end() ? 0 : it->second;
}

// Pairs at which a half-width that shrinks as 1/sqrt(n) brings the upper bound below the margin.
std::optional<int64_t> PairsNeeded(const stats::Interval& theta, double margin) {
  if (theta.n < 20 || theta.point >= margin) return std::nullopt;
  const double half_width = theta.upper - theta.point;
  if (theta.upper < margin) return 0;
  const double factor = half_width / (margin - theta.point);
  const double needed = static_cast<double>(theta.n) * (factor * factor - 1);
  if (needed > 1e7) return std::nullopt;
  return static_cast<int64_t>(std::ceil(needed));
}

}  // namespace

void Evidence::Quality::AddLosses(double candidate, double primary) {
  shown.AddLosses(candidate, primary);
  harm.AddLosses(candidate, primary);
}

void Evidence::Quality::AddDifferences(bool candidate, bool other) {
  shown.AddDifferences(candidate, other);
  harm.AddDifferences(candidate, other);
}

Evidence::Evidence(const Experiment& experiment)
    : mode_(experiment.quality_mode),
      deciding_source_(DecidingSource(experiment)),
      margin_(experiment.margin),
      alpha_(experiment.alpha),
      harm_alpha_(experiment.alpha / 2 / HarmTests(experiment)),
      quality_(alpha_, harm_alpha_),
      calibration_(alpha_),
      agreement_(stats::BernsteinOptions{.alpha = alpha_}),
      noise_(stats::BernsteinOptions{.alpha = alpha_}) {
  for (const Gate& gate : experiment.gates) gates_.push_back({.gate = gate});
}

void Evidence::Add(const PairFacts& pair) {
  if (pair.validity != Validity::kValid) {
    ++uncounted_[pair.validity];
    return;
  }
  if (pair.secondary_differs && FirstOfCluster(noise_clusters_, pair.cluster))
    noise_.Add(*pair.secondary_differs ? 1 : 0);
  if (pair.self_compare) {
    ++calibration_pairs_;
    return;
  }
  ++pairs_;
  AddLatency(pair);
  if (FirstOfCluster(agreement_clusters_, pair.cluster)) agreement_.Add(pair.agree ? 1 : 0);
  const bool doubled = pair.candidate_differs_from_reference && pair.other_differs_from_reference;
  if (mode_ == QualityMode::kEquivalence && doubled && FirstOfCluster(clusters_, pair.cluster)) {
    quality_.AddDifferences(*pair.candidate_differs_from_reference,
                            *pair.other_differs_from_reference);
  }
}

void Evidence::Add(const GradeFacts& grade) {
  if (grade.validity != Validity::kValid) return;
  if (grade.self_compare) {
    if (grade.source == deciding_source_ && FirstOfCluster(calibration_clusters_, grade.cluster)) {
      calibration_.AddLosses(grade.candidate_loss, grade.primary_loss);
    }
    return;
  }
  SourceState& source = sources_.try_emplace(grade.source, alpha_).first->second;
  if (FirstOfCluster(source.clusters, grade.cluster)) {
    source.theta.AddLosses(grade.candidate_loss, grade.primary_loss);
  }
  if (mode_ != QualityMode::kImprovement || grade.source != deciding_source_) return;
  if (FirstOfCluster(clusters_, grade.cluster)) {
    quality_.AddLosses(grade.candidate_loss, grade.primary_loss);
  }
}

// P(candidate > (1 + margin) * primary) <= 1/2 is tested as McNemar tests its discordant pairs.
void Evidence::AddLatency(const PairFacts& pair) {
  for (GateState& state : gates_) {
    if (!IsPaired(state.gate.metric)) continue;
    const bool ttft = state.gate.metric == Gate::Metric::kTtft;
    const absl::Duration primary = ttft ? pair.primary_ttft : pair.primary_latency;
    const absl::Duration candidate = ttft ? pair.candidate_ttft : pair.candidate_latency;
    if (primary <= absl::ZeroDuration() || candidate <= absl::ZeroDuration()) continue;
    if (!FirstOfCluster(state.clusters, pair.cluster)) continue;
    const bool slower = candidate > primary * (1 + state.gate.margin);
    state.slower.Add(slower, !slower);
  }
}

void Evidence::SetArms(const std::map<int, ArmCounts>& by_weight) {
  for (const auto& [weight, counts] : by_weight) {
    ArmCounts& known = arms_[weight];
    const double share = weight == kSameRequest ? 0.5 : static_cast<double>(weight) / kBuckets;
    for (GateState& state : gates_) {
      if (IsPaired(state.gate.metric)) continue;
      const std::string_view name = ToString(state.gate.metric);
      for (const bool canary : {false, true}) {
        const auto& now = canary ? counts.candidate_events : counts.reference_events;
        const auto& before = canary ? known.candidate_events : known.reference_events;
        for (int64_t i = EventCount(before, name); i < EventCount(now, name); ++i) {
          state.arms.AddEvent(canary, share);
        }
      }
    }
    known = counts;
  }
}

void Evidence::JudgeQuality(Verdict& verdict) const {
  verdict.theta = quality_.shown.Theta();
  verdict.deciding = quality_.shown.n();
  verdict.quality_ok = verdict.deciding > 0 && verdict.theta.upper < margin_;
  verdict.pairs_needed = PairsNeeded(verdict.theta, margin_);

  const stats::Interval harm = quality_.harm.Theta();
  verdict.tests.push_back(
      {.name = "quality.lower",
       .fired = verdict.deciding > 0 && harm.lower > margin_,
       .alpha = harm_alpha_,
       .words = absl::StrFormat("lower bound of the difference %.2f points, margin %.2f",
                                100 * harm.lower, 100 * margin_)});
  // Only where the estimate also passes the margin: a significant difference within what is
  // tolerated is no harm.
  const stats::SequentialMcNemar& mcnemar = quality_.harm.harm();
  verdict.tests.push_back(
      {.name = "quality.mcnemar",
       .fired = mcnemar.Rejects(harm_alpha_) && verdict.theta.point > margin_,
       .alpha = harm_alpha_,
       .p_value = mcnemar.PValue(),
       .words = absl::StrFormat("only the candidate wrong: %d, only the reference wrong: %d",
                                mcnemar.first_only(), mcnemar.second_only())});
  const stats::SequentialMcNemar& gain = quality_.shown.gain();
  verdict.tests.push_back(
      {.name = "quality.better",
       .harm = false,
       .fired = gain.Rejects(alpha_ / 2),
       .alpha = alpha_ / 2,
       .p_value = gain.PValue(),
       .words = "the candidate is strictly better (shown, not needed for promotion)"});
}

void Evidence::JudgeGates(Verdict& verdict) const {
  for (const GateState& state : gates_) {
    TestReport report{.name = absl::StrFormat("gate.%s", std::string(ToString(state.gate.metric))),
                      .alpha = harm_alpha_};
    if (IsPaired(state.gate.metric)) {
      report.fired = state.slower.Rejects(harm_alpha_);
      report.p_value = state.slower.PValue();
      report.words =
          absl::StrFormat("candidate slower than %.0f %% of the reference on %d of %d pairs",
                          100 * (1 + state.gate.margin), state.slower.first_only(),
                          state.slower.first_only() + state.slower.second_only());
    } else {
      report.fired = state.arms.Rejects(harm_alpha_);
      report.p_value = state.arms.PValue();
      report.words = absl::StrFormat("%d of %d such events fell on the candidate",
                                     state.arms.canary_events(), state.arms.events());
    }
    verdict.tests.push_back(std::move(report));
  }
}

void Evidence::JudgeCalibration(Verdict& verdict) const {
  const bool first = calibration_.harm().Rejects(alpha_ / 2);
  const bool second = calibration_.gain().Rejects(alpha_ / 2);
  verdict.calibration_fired = first || second;
  verdict.tests.push_back(
      {.name = "calibration",
       .harm = false,
       .fired = verdict.calibration_fired,
       .alpha = alpha_,
       .p_value =
           std::min(1.0, 2 * std::min(calibration_.harm().PValue(), calibration_.gain().PValue())),
       .words = absl::StrFormat(
           "the primary against itself: only the second answer wrong %d times, only the first %d",
           calibration_.harm().first_only(), calibration_.harm().second_only())});
}

Verdict Evidence::Judge() const {
  Verdict verdict;
  verdict.pairs = pairs_;
  verdict.calibration_pairs = calibration_pairs_;
  verdict.uncounted = uncounted_;
  verdict.agreement = agreement_.Current();
  verdict.noise = noise_.Current();
  for (const auto& [source, state] : sources_) verdict.by_source[source] = state.theta.Theta();
  JudgeQuality(verdict);
  JudgeGates(verdict);
  JudgeCalibration(verdict);
  verdict.roll_back = std::any_of(verdict.tests.begin(), verdict.tests.end(),
                                  [](const TestReport& test) { return test.harm && test.fired; });
  return verdict;
}

nlohmann::json ToJson(const Verdict& verdict) {
  nlohmann::json tests = nlohmann::json::array();
  for (const TestReport& test : verdict.tests) {
    tests.push_back({{"name", test.name},
                     {"harm", test.harm},
                     {"fired", test.fired},
                     {"alpha", test.alpha},
                     {"p_value", test.p_value},
                     {"words", test.words}});
  }
  nlohmann::json sources = nlohmann::json::object();
  for (const auto& [source, theta] : verdict.by_source) {
    sources[std::string(ToString(source))] = stats::ToJson(theta);
  }
  return {{"theta", stats::ToJson(verdict.theta)},
          {"agreement", stats::ToJson(verdict.agreement)},
          {"noise", stats::ToJson(verdict.noise)},
          {"pairs", verdict.pairs},
          {"deciding", verdict.deciding},
          {"calibration_pairs", verdict.calibration_pairs},
          {"quality_ok", verdict.quality_ok},
          {"roll_back", verdict.roll_back},
          {"by_source", sources},
          {"tests", tests}};
}

}  // namespace crossover::router
