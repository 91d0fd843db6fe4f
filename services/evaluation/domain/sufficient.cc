// The ways in which leaving the prompt can be worth it: a quality gap (a), or latency, format,
// volume, prompt length, spend (b).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "services/evaluation/domain/evidence_builder.h"
#include "services/evaluation/domain/gate.h"

namespace crossover::evaluation {
namespace {

constexpr EvidenceKind kSufficient = EvidenceKind::kSufficient;

struct Gap {
  stats::Interval interval;
  EvidenceSource source;
};

// The gain of the tuned model where one is measured or projected, else what the target is above the
// best prompt.
std::optional<Gap> GapOf(const CaseFile& file) {
  if (file.tuned_gain) return Gap{file.tuned_gain->value, file.tuned_gain->source};
  if (!file.prompt.target_score || !file.ladder || file.ladder->best < 0) return std::nullopt;
  const stats::Interval& best = file.ladder->rungs[file.ladder->best].score;
  double target = file.prompt.target_score->value;
  stats::Interval gap = best;
  gap.point = target - best.point;
  gap.lower = target - best.upper;
  gap.upper = target - best.lower;
  return Gap{gap, EvidenceSource::kMeasured};
}

constexpr char kMeasureRungs[] =
    "Measure the few-shot and the structured-output rung first: they are the remedy for format and "
    "style.";

// Strict formats and styles are what examples and schemas are for: only a ladder on which both were
// measured says that prompts fall short of them.
bool RungsTwoAndThreeMeasured(const CaseFile& file) {
  auto measured = [&](const char* kind) {
    return std::any_of(file.ladder->rungs.begin(), file.ladder->rungs.end(),
                       [&](const LadderEvidence::Rung& rung) { return rung.kind == kind; });
  };
  return file.ladder && measured("few-shot") && measured("structured output");
}

bool StyleIsTheMatter(const CaseFile& file) {
  return std::count(file.facts.symptoms.begin(), file.facts.symptoms.end(), "voice") > 0;
}

Evidence QualityGap(const CaseFile& file, const GateThresholds& thresholds) {
  std::string threshold =
      absl::StrFormat("interval above 0 and >= %.0f points", thresholds.minimum_gap * 100);
  std::optional<Gap> gap = GapOf(file);
  if (!gap) {
    return Unknown("quality_gap", kSufficient, threshold,
                   "Declare a target score and measure the ladder.");
  }
  if (StyleIsTheMatter(file) && !RungsTwoAndThreeMeasured(file))
    return Unknown("quality_gap", kSufficient, threshold, kMeasureRungs);
  bool significant = gap->interval.lower > 0;
  bool worth_it = gap->interval.point >= thresholds.minimum_gap;
  Evidence evidence = Judged("quality_gap", kSufficient, significant && worth_it, gap->source,
                             Points(gap->interval), threshold,
                             "Nothing to do: the prompt is near enough to the target.");
  if (!significant) {
    evidence.explanation = "The interval of the gap includes zero.";
  } else if (!worth_it) {
    evidence.explanation = "The gap is real but too small to be worth a training project.";
  }
  evidence.interval = gap->interval;
  if (file.ladder) evidence.inputs = file.ladder->inputs;
  return evidence;
}

Evidence SlowAnswers(const CaseFile& file, const GateThresholds& thresholds) {
  // A target is declared for the median, the threshold is of the average: each meets its like.
  bool targeted = file.prompt.latency_p50_target_ms.has_value();
  double limit =
      targeted ? file.prompt.latency_p50_target_ms->value : thresholds.maximum_latency_ms;
  std::string threshold = targeted ? absl::StrFormat("median > the target of %.0f ms", limit)
                                   : absl::StrFormat("> %.0f ms on average", limit);
  const auto& known = targeted ? file.prompt.latency_p50_ms : file.prompt.latency_ms;
  if (!known)
    return Unknown("latency", kSufficient, threshold, "Run the evaluation: it measures latency.");
  const auto& latency = *known;
  Evidence evidence = Judged("latency", kSufficient, latency.value.point > limit, latency.source,
                             absl::StrFormat("%.0f ms", latency.value.point), threshold, "");
  evidence.interval = latency.value;
  return evidence;
}

Evidence FormatErrors(const CaseFile& file, const GateThresholds& thresholds) {
  std::string threshold = absl::StrCat("> ", Percent(thresholds.maximum_format_errors));
  if (!file.prompt.format_errors) {
    return Unknown("format_errors", kSufficient, threshold, "Add a JSON grader to the suite.");
  }
  if (!RungsTwoAndThreeMeasured(file))
    return Unknown("format_errors", kSufficient, threshold, kMeasureRungs);
  const auto& errors = *file.prompt.format_errors;
  Evidence evidence =
      Judged("format_errors", kSufficient, errors.value.point > thresholds.maximum_format_errors,
             errors.source, Percent(errors.value), threshold, "");
  evidence.interval = errors.value;
  return evidence;
}

template <typename T>
Evidence Above(const char* condition, const std::optional<Fact<T>>& fact, double limit,
               const char* format, const char* next_step) {
  std::string threshold = absl::StrFormat("> %.0f %s", limit, format);
  if (!fact) return Unknown(condition, kSufficient, threshold, next_step);
  double value = static_cast<double>(fact->value);
  return Judged(condition, kSufficient, value > limit, fact->source,
                absl::StrFormat("%.0f %s", value, format), threshold, "");
}

Evidence Spend(const CaseFile& file, const GateThresholds& thresholds) {
  std::string threshold = absl::StrFormat(">= %g requests a day and > %g USD a month",
                                          thresholds.requests_per_day, thresholds.spend_per_month);
  if (!file.facts.requests_per_day || !file.prompt.spend_per_month) {
    const char* missing = file.facts.requests_per_day   ? "what the prompt costs"
                          : file.prompt.spend_per_month ? "the volume"
                                                        : "volume and prices";
    return Unknown("spend", kSufficient, threshold,
                   absl::StrCat("Declare ", missing, ", or route the traffic through Crossover."));
  }
  double requests = file.facts.requests_per_day->value;
  double spend = file.prompt.spend_per_month->value;
  return Judged("spend", kSufficient,
                requests >= thresholds.requests_per_day && spend > thresholds.spend_per_month,
                file.prompt.spend_per_month->source,
                absl::StrFormat("%.0f requests a day, %.0f USD a month", requests, spend),
                threshold, "");
}

}  // namespace

std::vector<Evidence> SufficientEvidence(const CaseFile& file, const GateThresholds& thresholds) {
  return {QualityGap(file, thresholds),
          SlowAnswers(file, thresholds),
          FormatErrors(file, thresholds),
          Above("tokens_per_month", file.facts.tokens_per_month, thresholds.high_tokens_per_month,
                "tokens a month", "Declare the volume, or route the traffic through Crossover."),
          Above("prompt_length", file.prompt.prompt_tokens, thresholds.long_prompt_tokens, "tokens",
                "Register the prompt."),
          Above("examples", file.prompt.examples, thresholds.many_examples, "examples",
                "Register the prompt."),
          Spend(file, thresholds)};
}

}  // namespace crossover::evaluation
