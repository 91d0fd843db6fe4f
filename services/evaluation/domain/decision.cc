#include "services/evaluation/domain/decision.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/evaluation/domain/evidence_builder.h"
#include "services/evaluation/domain/five_questions.h"
#include "services/evaluation/domain/gate.h"
#include "services/evaluation/domain/remedies.h"

namespace crossover::evaluation {
namespace {

// Which kinds of reason there are to leave the prompt.
struct Triggers {
  bool gap = false;
  bool quality = false;  // the gap, or format errors
  bool sla = false;      // latency
  bool cost = false;     // volume, prompt length, examples, spend
  bool any() const { return quality || sla || cost; }
};

bool IsMet(const std::vector<Evidence>& evidence, std::string_view condition) {
  return std::any_of(evidence.begin(), evidence.end(), [&](const Evidence& item) {
    return item.condition == condition && item.status == EvidenceStatus::kMet;
  });
}

Triggers TriggersOf(const CaseFile& file, const std::vector<Evidence>& sufficient,
                    const GateThresholds& thresholds) {
  Triggers triggers;
  triggers.gap = IsMet(sufficient, "quality_gap");
  triggers.quality = triggers.gap || IsMet(sufficient, "format_errors");
  triggers.sla = IsMet(sufficient, "latency");
  triggers.cost = IsMet(sufficient, "tokens_per_month") || IsMet(sufficient, "prompt_length") ||
                  IsMet(sufficient, "examples") || IsMet(sufficient, "spend") ||
                  (file.facts.tokens_per_month &&
                   file.facts.tokens_per_month->value > thresholds.very_high_tokens_per_month);
  return triggers;
}

std::string TriggerNames(const std::vector<Evidence>& sufficient) {
  std::string names;
  for (const Evidence& item : sufficient) {
    if (item.status == EvidenceStatus::kMet)
      absl::StrAppend(&names, names.empty() ? "" : ", ", item.condition);
  }
  return names.empty() ? "none" : names;
}

bool True(const std::optional<Fact<bool>>& fact) { return fact && fact->value; }

std::string PaybackWords(const ReturnOnInvestment& roi) {
  if (!roi.payback_months) return "never: the saving is not positive";
  return absl::StrFormat("%.1f months [%.1f, %.1f]", roi.payback_months->point,
                         roi.payback_months->lower, roi.payback_months->upper);
}

// Step 1. True if it decided.
bool DecideByNecessary(const std::vector<Evidence>& necessary, Verdict& verdict) {
  bool unmet = false, unknown = false;
  for (const Evidence& item : necessary) {
    unmet |= item.status == EvidenceStatus::kNotMet;
    unknown |= item.status == EvidenceStatus::kUnknown;
  }
  if (!unmet && !unknown) return false;
  // Unmet evidence settles the question whatever the unknown would say.
  verdict.recommendation = unmet ? Recommendation::kPrompt : Recommendation::kWait;
  EvidenceStatus wanted = unmet ? EvidenceStatus::kNotMet : EvidenceStatus::kUnknown;
  for (const Evidence& item : necessary) {
    if (item.status != wanted) continue;
    verdict.reasons.push_back(absl::StrCat(item.condition,
                                           unmet ? " is not met (" : " is unknown (", item.value,
                                           ", needed ", item.threshold, "). ", item.next_step));
  }
  return true;
}

// Step 2.
bool DecideByNature(const CaseFile& file, Verdict& verdict) {
  if (True(file.facts.changing_knowledge)) {
    verdict.reasons.push_back(
        "The knowledge changes: keep it outside the weights, with the prompt and retrieval.");
  }
  if (True(file.facts.deep_reasoning)) {
    verdict.reasons.push_back(
        "The task needs reasoning depth: prompt with steps; tuning improves format, not depth.");
  }
  verdict.recommendation = Recommendation::kPrompt;
  return !verdict.reasons.empty();
}

// Steps 3 to 6.
void DecideByValue(const CaseFile& file, const Triggers& triggers, const std::string& trigger_names,
                   const GateThresholds& thresholds, Verdict& verdict) {
  const auto& tokens = file.facts.tokens_per_month;
  if (tokens && tokens->value < thresholds.low_tokens_per_month && !triggers.quality &&
      !triggers.sla) {
    verdict.recommendation = Recommendation::kPrompt;
    verdict.reasons.push_back(absl::StrFormat(
        "%.0f tokens a month is under %.0f and there is no quality or latency trigger: "
        "development would outweigh the savings.",
        tokens->value, thresholds.low_tokens_per_month));
    return;
  }
  if (triggers.any() && !verdict.roi_known) {
    verdict.recommendation = Recommendation::kWait;
    verdict.reasons.push_back(
        absl::StrCat("Triggers: ", trigger_names,
                     ". The return is unknown; missing: ", MissingForReturn(file), "."));
    return;
  }
  const auto& payback = verdict.roi.payback_months;
  if (triggers.any() && payback && payback->point <= thresholds.maximum_payback_months) {
    verdict.recommendation =
        file.facts.changing_part ? Recommendation::kHybrid : Recommendation::kFineTune;
    verdict.reasons.push_back(absl::StrCat("Triggers: ", trigger_names, ". Payback ",
                                           PaybackWords(verdict.roi), ", within ",
                                           thresholds.maximum_payback_months, " months."));
    if (file.facts.changing_part) {
      verdict.reasons.push_back(
          "A part of the prompt changes: fine-tuned for the stable part, prompt for the changing "
          "part.");
    }
    return;
  }
  // Without a saving nothing is paid back: a gap may wait for the next base model, if it can.
  if (!payback && triggers.gap && !triggers.sla && file.facts.urgent && !file.facts.urgent->value &&
      file.facts.model_horizon_months) {
    verdict.recommendation = Recommendation::kWait;
    verdict.reasons.push_back(absl::StrFormat(
        "The gap is not urgent within %.0f months, when the next base model may close it, and "
        "closing it now would never pay back.",
        file.facts.model_horizon_months->value));
    return;
  }
  bool bought_not_saved = triggers.quality || triggers.sla;
  if (triggers.any() && (payback || bought_not_saved)) {
    verdict.recommendation = Recommendation::kHybrid;
    verdict.reasons.push_back(absl::StrCat(
        "Triggers: ", trigger_names, ". Payback ", PaybackWords(verdict.roi),
        ": serve the confident requests by the tuned model and the rest by the prompt."));
    return;
  }
  verdict.recommendation = Recommendation::kPrompt;
  verdict.reasons.push_back(
      triggers.any() ? absl::StrCat("Triggers: ", trigger_names, ", but payback is ",
                                    PaybackWords(verdict.roi), ".")
                     : "Nothing asks for leaving the prompt: no sufficient condition is met.");
}

}  // namespace

const char* Name(Recommendation recommendation) {
  switch (recommendation) {
    case Recommendation::kPrompt:
      return "PROMPT";
    case Recommendation::kFineTune:
      return "FINE_TUNE";
    case Recommendation::kHybrid:
      return "HYBRID";
    case Recommendation::kWait:
      return "WAIT";
  }
  return "WAIT";
}

namespace {

Verdict DecideOnce(const CaseFile& file, const GateThresholds& thresholds) {
  Verdict verdict;
  verdict.thresholds = ToMap(thresholds);
  std::vector<Evidence> necessary = NecessaryEvidence(file, thresholds);
  std::vector<Evidence> sufficient = SufficientEvidence(file, thresholds);
  if (file.costs) {
    verdict.roi = ComputeReturn(*file.costs, thresholds);
    verdict.roi_known = true;
  }
  for (const std::string& symptom : file.facts.symptoms) {
    if (const Remedy* remedy = FindRemedy(symptom)) {
      verdict.alternatives.push_back({remedy->words, remedy->remedy, Recommendation::kPrompt});
    }
  }
  for (const Evidence& item : necessary) {
    if (item.condition == "clean_rows" && item.status == EvidenceStatus::kMet &&
        !item.explanation.empty()) {
      verdict.warnings.push_back(item.explanation);
    }
  }
  if (!DecideByNecessary(necessary, verdict) && !DecideByNature(file, verdict)) {
    DecideByValue(file, TriggersOf(file, sufficient, thresholds), TriggerNames(sufficient),
                  thresholds, verdict);
  }
  // Where training is not the answer now, the remedy of each symptom is what to do instead.
  if (verdict.recommendation == Recommendation::kPrompt ||
      verdict.recommendation == Recommendation::kWait) {
    for (const Alternative& alternative : verdict.alternatives) {
      verdict.reasons.push_back(absl::StrCat("\"", alternative.symptom, "\": try ",
                                             alternative.remedy, " before any training."));
    }
  }
  verdict.evidence = std::move(necessary);
  verdict.evidence.insert(verdict.evidence.end(), sufficient.begin(), sufficient.end());
  verdict.questions = FiveQuestions(file, verdict);
  for (const Evidence& item : verdict.evidence) {
    if (item.kind == EvidenceKind::kNecessary && !item.Holds())
      verdict.next_steps.push_back(absl::StrCat(item.condition, ": ", item.next_step));
  }
  return verdict;
}

// The case with one assumption multiplied by `factor`. False if the case does not state it.
bool Scale(CaseFile& file, const std::string& parameter, double factor) {
  if (!file.costs) return false;
  if (parameter == "developer_hours") {
    file.costs->developer_hours *= factor;
    return file.costs->developer_hours > 0;
  }
  if (!file.facts.requests_per_day) return false;
  file.facts.requests_per_day->value *= factor;
  if (file.facts.tokens_per_month) file.facts.tokens_per_month->value *= factor;
  if (file.prompt.spend_per_month) file.prompt.spend_per_month->value *= factor;
  file.costs->requests_per_month *= factor;
  file.costs->prompt_per_month *= factor;
  file.costs->tuned_serving_per_month *= factor;
  return true;
}

// The nearest multiple or fraction, in steps of a tenth of an octave up to 32 fold, that changes
// the recommendation.
void AddVerdictFlips(const CaseFile& file, const GateThresholds& thresholds, Verdict& verdict) {
  for (const char* parameter : {"requests_per_day", "developer_hours"}) {
    double value = parameter == std::string("developer_hours")
                       ? (file.costs ? file.costs->developer_hours : 0)
                   : file.facts.requests_per_day ? file.facts.requests_per_day->value
                                                 : 0;
    for (int step = 1; step <= 50; ++step) {
      for (double factor : {std::exp2(step / 10.0), std::exp2(-step / 10.0)}) {
        CaseFile scaled = file;
        if (!Scale(scaled, parameter, factor)) continue;
        Recommendation then = DecideOnce(scaled, thresholds).recommendation;
        if (then == verdict.recommendation) continue;
        verdict.roi.flips.push_back({parameter, value, value * factor, then});
        step = 50;
        break;
      }
    }
  }
}

}  // namespace

const char* Name(DecisionState state) {
  constexpr const char* kNames[] = {"OPEN", "SIGNED", "VETOED", "REOPENED"};
  return kNames[static_cast<int>(state)];
}

Verdict Decide(const CaseFile& file, const GateThresholds& thresholds) {
  Verdict verdict = DecideOnce(file, thresholds);
  AddVerdictFlips(file, thresholds, verdict);
  return verdict;
}

Recommendation RecommendStrategy(const StrategyProfile& profile, const GateThresholds& thresholds) {
  if (profile.knowledge_changes || profile.complex_reasoning) return Recommendation::kPrompt;
  bool gap = profile.accuracy_gap >= thresholds.minimum_gap;
  bool volume = profile.tokens_per_month > thresholds.high_tokens_per_month;
  if (profile.tokens_per_month < thresholds.low_tokens_per_month && !gap)
    return Recommendation::kPrompt;
  if (!gap && !volume) return Recommendation::kPrompt;
  if (profile.saving_per_month <= 0) return gap ? Recommendation::kHybrid : Recommendation::kPrompt;
  double payback = profile.one_time_cost / profile.saving_per_month;
  return payback <= thresholds.maximum_payback_months ? Recommendation::kFineTune
                                                      : Recommendation::kHybrid;
}

}  // namespace crossover::evaluation
