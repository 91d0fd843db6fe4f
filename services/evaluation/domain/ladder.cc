#include "services/evaluation/domain/ladder.h"

#include "absl/strings/str_cat.h"
#include "common/stats/paired.h"
#include "services/evaluation/domain/evidence_builder.h"
#include "services/evaluation/domain/gate.h"

namespace crossover::evaluation {
namespace {

// Convergence as the gate sees it, at this ladder's margin.
Evidence ConvergenceOf(const Ladder& ladder) {
  CaseFile file;
  file.ladder = ToEvidence(ladder);
  GateThresholds thresholds;
  thresholds.convergence_margin = ladder.convergence_margin;
  for (Evidence& evidence : NecessaryEvidence(file, thresholds)) {
    if (evidence.condition == "ladder_converged") return evidence;
  }
  return {};
}

bool Meets(const Ladder& ladder, int index) {
  return index >= 0 && ladder.target && ladder.rungs[index].dev &&
         ladder.rungs[index].dev->point >= *ladder.target;
}

int FirstUnmeasured(const Ladder& ladder) {
  for (size_t i = 0; i < ladder.rungs.size(); ++i) {
    if (!ladder.rungs[i].dev && ladder.rungs[i].skipped_reason.empty()) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

const char* Name(RungKind kind) {
  constexpr const char* kNames[] = {"prompt",       "zero-shot",  "few-shot",  "structured output",
                                    "step by step", "decomposed", "retrieval", "larger model",
                                    "fine-tuned"};
  return kNames[static_cast<int>(kind)];
}

const char* Name(LadderState state) {
  constexpr const char* kNames[] = {"RUNNING",   "MET",   "CEILING", "NOT_ENOUGH_EVIDENCE",
                                    "CANCELLED", "FAILED"};
  return kNames[static_cast<int>(state)];
}

int BestRung(const Ladder& ladder) {
  int best = -1;
  for (size_t i = 0; i < ladder.rungs.size(); ++i) {
    const Rung& rung = ladder.rungs[i];
    if (!rung.dev || rung.kind == RungKind::kFineTuned) continue;
    if (best < 0 || rung.dev->point > ladder.rungs[best].dev->point) best = static_cast<int>(i);
  }
  return best;
}

void RecordRung(Ladder& ladder, size_t index, const SystemResult& result,
                const ScoredSystem& scored, const ScoredSystem* best_before) {
  Rung& rung = ladder.rungs[index];
  rung.dev = result.graders.at(0).score;
  if (result.cost_per_request) rung.cost_per_request = result.cost_per_request->point;
  rung.format_valid = result.format_valid;
  rung.latency_p50 = result.latency.p50;
  rung.prompt_tokens = result.prompt_tokens;
  if (best_before == nullptr) return;
  std::map<std::string, double> before;
  for (const ScoredRow& row : best_before->rows) before[row.row.row_digest] = row.MeanScore(0);
  std::vector<double> first, second;
  std::vector<std::string> clusters;
  for (const ScoredRow& row : scored.rows) {
    auto found = before.find(row.row.row_digest);
    if (found == before.end()) continue;
    first.push_back(row.MeanScore(0));
    second.push_back(found->second);
    clusters.push_back(row.row.cluster);
  }
  rung.gain = stats::PairedDifference(first, second, clusters);
}

LadderEvidence ToEvidence(const Ladder& ladder) {
  LadderEvidence evidence;
  for (size_t i = 0; i < ladder.rungs.size(); ++i) {
    const Rung& rung = ladder.rungs[i];
    if (!rung.dev || rung.kind == RungKind::kFineTuned) continue;
    if (static_cast<int>(i) == BestRung(ladder))
      evidence.best = static_cast<int>(evidence.rungs.size());
    evidence.rungs.push_back(
        {.kind = Name(rung.kind),
         .name = rung.system.display_name.empty() ? Name(rung.kind) : rung.system.display_name,
         .score = *rung.dev,
         .cost_per_request = rung.cost_per_request.value_or(0)});
    if (rung.gain) evidence.last_gains.push_back(*rung.gain);
    if (!rung.run.empty()) evidence.inputs.push_back(rung.run);
  }
  if (!ladder.id.empty()) evidence.inputs.insert(evidence.inputs.begin(), ladder.name());
  return evidence;
}

int NextRung(Ladder& ladder) {
  int best = BestRung(ladder);
  ladder.converged = ConvergenceOf(ladder);
  int next = FirstUnmeasured(ladder);
  bool met = Meets(ladder, best);
  bool converged = ladder.converged.status == EvidenceStatus::kMet;
  // Convergence alone does not end the climb: the rungs differ in kind, and the next may be the one
  // that pays.
  if (next >= 0 && (!met || ladder.climb_all)) return next;
  ladder.chosen = best;
  if (best < 0) {
    ladder.state = LadderState::kNotEnoughEvidence;
    ladder.state_reason = "no rung of prompts was measured";
  } else if (met) {
    ladder.state = LadderState::kMet;
    ladder.state_reason = absl::StrCat(Title(ladder.rungs[best].system), " meets the target of ",
                                       Percent(*ladder.target));
  } else if (converged) {
    ladder.state = LadderState::kCeiling;
    ladder.state_reason =
        absl::StrCat("the gains have converged at ", Percent(*ladder.rungs[best].dev));
  } else {
    ladder.state = LadderState::kNotEnoughEvidence;
    ladder.state_reason = absl::StrCat("all rungs are measured; ", ladder.converged.next_step);
  }
  return -1;
}

}  // namespace crossover::evaluation
