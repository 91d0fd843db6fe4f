// The five groups of necessary evidence.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "services/evaluation/domain/evidence_builder.h"
#include "services/evaluation/domain/gate.h"

namespace crossover::evaluation {
namespace {

constexpr EvidenceKind kNecessary = EvidenceKind::kNecessary;

// Rows that would put an interval of this half-width inside the margin: the width shrinks with the
// square root of n.
int64_t RowsForMargin(const stats::Interval& gain, double margin) {
  double widest = std::max(std::abs(gain.lower - gain.point), std::abs(gain.upper - gain.point));
  double room = margin - std::abs(gain.point);
  if (room <= 0 || !std::isfinite(widest)) return 0;
  return static_cast<int64_t>(
      std::ceil(static_cast<double>(gain.n) * (widest / room) * (widest / room)));
}

Evidence LadderConverged(const CaseFile& file, const GateThresholds& thresholds) {
  std::string threshold =
      absl::StrFormat("last two gains inside ±%.1f points", thresholds.convergence_margin * 100);
  if (!file.ladder || file.ladder->rungs.empty()) {
    return Unknown("ladder_converged", kNecessary, threshold,
                   "Measure the prompt ladder: zero-shot, few-shot, structured output and so on.");
  }
  const LadderEvidence& ladder = *file.ladder;
  if (ladder.last_gains.size() < 2) {
    Evidence evidence = Unknown(
        "ladder_converged", kNecessary, threshold,
        absl::StrCat("Two gains are needed and ", ladder.last_gains.size(),
                     " measured: improve the prompt again and measure it on the same DEV rows."));
    evidence.explanation = absl::StrCat(ladder.rungs.size(), " rungs measured.");
    evidence.inputs = ladder.inputs;
    return evidence;
  }
  const stats::Interval& last = ladder.last_gains[ladder.last_gains.size() - 1];
  const stats::Interval& before = ladder.last_gains[ladder.last_gains.size() - 2];
  double margin = thresholds.convergence_margin;
  // An iteration that made things worse gained nothing: the best prompt stands.
  auto flat = [margin](const stats::Interval& gain) {
    return stats::IsEquivalent(gain, margin) || gain.upper < 0;
  };
  bool converged = flat(last) && flat(before);
  // An interval that reaches beyond the margin on a point inside it is too few rows, not a rising
  // ladder.
  bool rising = last.point >= margin || before.point >= margin;
  Evidence evidence = Judged("ladder_converged", kNecessary, converged, EvidenceSource::kMeasured,
                             absl::StrCat(Points(before), ", then ", Points(last)), threshold,
                             "The prompt still improves: go on climbing.");
  if (!converged && !rising) {
    evidence.status = EvidenceStatus::kUnknown;
    int64_t rows = std::max(RowsForMargin(last, margin), RowsForMargin(before, margin));
    evidence.next_step = rows > 0
                             ? absl::StrCat("Measure about ", rows, " DEV rows instead of ", last.n,
                                            ": then these gains can be told from none.")
                             : "Measure more DEV rows.";
  }
  evidence.interval = last;
  evidence.inputs = ladder.inputs;
  return evidence;
}

Evidence CleanRows(const CaseFile& file, const GateThresholds& thresholds) {
  std::string threshold = absl::StrFormat(">= %g rows (>= %g without a warning)",
                                          thresholds.rows_wait, thresholds.rows_good);
  if (!file.data) {
    return Unknown("clean_rows", kNecessary, threshold, "Import, curate and seal a data set.");
  }
  double rows = static_cast<double>(file.data->clean_rows.value);
  Evidence evidence = Judged(
      "clean_rows", kNecessary, rows >= thresholds.rows_wait, file.data->clean_rows.source,
      absl::StrFormat("%.0f rows", rows), threshold,
      absl::StrFormat("Collect %.0f more clean rows.", std::max(0.0, thresholds.rows_wait - rows)));
  if (rows < thresholds.rows_advice) {
    evidence.explanation = absl::StrFormat(
        "Under %g rows there is no ground for any training advice.", thresholds.rows_advice);
  } else if (rows < thresholds.rows_wait) {
    // Not a refusal: more rows may come. The decision waits for them.
    evidence.status = EvidenceStatus::kUnknown;
    evidence.explanation = "Too few to tell.";
  } else if (rows < thresholds.rows_good) {
    evidence.explanation =
        absl::StrFormat("Warning: under %g rows the result varies; cross-validate below 500.",
                        thresholds.rows_good);
  }
  evidence.inputs = file.data->inputs;
  return evidence;
}

void AddLabelQuality(const CaseFile& file, const GateThresholds& thresholds,
                     std::vector<Evidence>& out) {
  if (!file.data) return;
  const DataEvidence& data = *file.data;
  if (data.agreement) {
    out.push_back(Judged("label_agreement", kNecessary,
                         data.agreement->value >= thresholds.minimum_agreement,
                         data.agreement->source, absl::StrFormat("%.2f", data.agreement->value),
                         absl::StrFormat(">= %.2f", thresholds.minimum_agreement),
                         "Rewrite the labelling instructions and label the disputed rows again."));
  }
  if (data.annotator_bias) {
    out.push_back(Judged("annotator_bias", kNecessary, !data.annotator_bias->value,
                         data.annotator_bias->source,
                         data.annotator_bias->value ? "found" : "none found", "no systematic bias",
                         "Have another annotator label this annotator's rows."));
  }
  std::string threshold = absl::StrCat("<= ", Percent(thresholds.maximum_label_errors));
  if (data.label_errors) {
    Evidence evidence = Judged("label_errors", kNecessary,
                               data.label_errors->value.point <= thresholds.maximum_label_errors,
                               data.label_errors->source, Percent(data.label_errors->value),
                               threshold, "Correct the labels that curation flagged.");
    evidence.interval = data.label_errors->value;
    out.push_back(evidence);
  } else {
    out.push_back(Unknown(
        "label_errors", kNecessary, threshold,
        "Run curation with its label-error stage, or declare the rate from a checked sample."));
  }
}

void AddCoverage(const CaseFile& file, const GateThresholds& thresholds,
                 std::vector<Evidence>& out) {
  if (!file.data) return;
  const DataEvidence& data = *file.data;
  std::string threshold = absl::StrCat(">= ", Percent(thresholds.minimum_coverage));
  if (data.coverage) {
    Evidence evidence =
        Judged("coverage", kNecessary, data.coverage->value.point >= thresholds.minimum_coverage,
               data.coverage->source, Percent(data.coverage->value), threshold,
               "Add rows like the recorded inputs that lie far from every training row.");
    evidence.interval = data.coverage->value;
    out.push_back(evidence);
  } else {
    out.push_back(
        Unknown("coverage", kNecessary, threshold,
                "Record inputs and compare them with the training rows, or declare the coverage."));
  }
  if (data.thinnest_label_rows) {
    double rows = static_cast<double>(data.thinnest_label_rows->value);
    out.push_back(Judged(
        "rows_per_label", kNecessary, rows >= thresholds.minimum_rows_per_label,
        data.thinnest_label_rows->source, absl::StrFormat("%.0f rows for the rarest", rows),
        absl::StrFormat(">= %g for every label with %s of traffic",
                        thresholds.minimum_rows_per_label, Percent(thresholds.label_traffic_share)),
        "Add rows of the rare labels."));
  }
}

Evidence OneTask(const CaseFile& file) {
  const auto& tasks = file.facts.task_count;
  if (!tasks) {
    return Unknown("one_task", kNecessary, "one output schema or label set",
                   "Declare the output contract of the task.");
  }
  return Judged(
      "one_task", kNecessary, tasks->value == 1, tasks->source,
      absl::StrCat(tasks->value, " in the prompt"), "one output schema or label set",
      absl::StrCat("Split the prompt: ", tasks->value, " tasks are ", tasks->value, " adapters."));
}

Evidence PromptStable(const CaseFile& file, const GateThresholds& thresholds) {
  std::string threshold = absl::StrFormat(">= %g days unchanged", thresholds.prompt_stable_days);
  const auto& age = file.facts.prompt_age_days;
  if (!age) {
    return Unknown("prompt_stable", kNecessary, threshold,
                   "Register the prompt in use, or declare when it last changed.");
  }
  return Judged(
      "prompt_stable", kNecessary, age->value >= thresholds.prompt_stable_days, age->source,
      absl::StrFormat("%.0f days", age->value), threshold,
      "A prompt that changes every week is cheaper to change than a model: wait until it rests.");
}

Evidence Named(const char* condition, const std::optional<Fact<std::string>>& fact,
               const char* threshold, const char* next_step) {
  if (!fact || fact->value.empty()) return Unknown(condition, kNecessary, threshold, next_step);
  return Judged(condition, kNecessary, true, fact->source, fact->value, threshold, "");
}

void ApplyWaivers(const std::vector<Waiver>& waivers, std::vector<Evidence>& evidence) {
  for (Evidence& item : evidence) {
    for (const Waiver& waiver : waivers) {
      if (waiver.condition != item.condition || item.status == EvidenceStatus::kMet) continue;
      item.status = EvidenceStatus::kWaived;
      item.waiver = waiver;
      item.next_step.clear();
    }
  }
}

}  // namespace

std::vector<Evidence> NecessaryEvidence(const CaseFile& file, const GateThresholds& thresholds) {
  std::vector<Evidence> evidence = {LadderConverged(file, thresholds), CleanRows(file, thresholds)};
  AddLabelQuality(file, thresholds, evidence);
  AddCoverage(file, thresholds, evidence);
  evidence.push_back(OneTask(file));
  evidence.push_back(PromptStable(file, thresholds));
  evidence.push_back(
      Named("owner", file.facts.owner, "a named person or team", "Name who owns the task."));
  evidence.push_back(Named("retraining_plan", file.facts.retraining_plan,
                           "a plan for new base models and drift",
                           "Write down who retrains, when and from which data."));
  ApplyWaivers(file.waivers, evidence);
  return evidence;
}

}  // namespace crossover::evaluation
