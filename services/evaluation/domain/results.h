// From graded answers to numbers with intervals.
#pragma once

#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/scored_rows.h"
#include "services/evaluation/domain/suite.h"

namespace crossover::evaluation {

SystemResult ComputeResult(const Suite& suite, const ScoredSystem& scored);

// Do all answers of the row say the same, surrounding white space aside?
bool AllEqual(const ScoredRow& row);

}  // namespace crossover::evaluation
