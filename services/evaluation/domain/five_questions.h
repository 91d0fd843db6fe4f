#pragma once

#include <vector>

#include "services/evaluation/domain/case_file.h"
#include "services/evaluation/domain/decision.h"

namespace crossover::evaluation {

// The five questions every verdict answers, from what is known; what is not known is said to be
// unknown.
std::vector<Answer5> FiveQuestions(const CaseFile& file, const Verdict& verdict);

}  // namespace crossover::evaluation
