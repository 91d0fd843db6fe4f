// Turns a case file into evidence: five necessary groups and two sufficient ones.
#pragma once

#include <vector>

#include "services/evaluation/domain/case_file.h"
#include "services/evaluation/domain/evidence.h"
#include "services/evaluation/domain/gate_thresholds.h"

namespace crossover::evaluation {

// Conditions: ladder_converged, clean_rows, label_agreement, annotator_bias, label_errors,
// coverage, rows_per_label, one_task, prompt_stable, owner, retraining_plan. Waived ones carry
// their waiver.
std::vector<Evidence> NecessaryEvidence(const CaseFile& file, const GateThresholds& thresholds);

// Conditions: quality_gap, latency, format_errors, tokens_per_month, prompt_length, examples,
// spend. Unknown is not met: each is one way among several, so nobody has to answer all.
std::vector<Evidence> SufficientEvidence(const CaseFile& file, const GateThresholds& thresholds);

}  // namespace crossover::evaluation
