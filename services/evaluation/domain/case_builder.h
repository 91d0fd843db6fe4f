// From records, ladder and comparison to a case file.
#pragma once

#include <optional>

#include "absl/time/time.h"
#include "services/evaluation/domain/case_file.h"
#include "services/evaluation/domain/comparison.h"
#include "services/evaluation/domain/ladder.h"
#include "services/evaluation/domain/ports.h"

namespace crossover::evaluation {

// Everything known; what is absent stays unknown.
struct CaseSources {
  TaskRecord task;
  std::optional<Ladder> ladder;
  // Result of the best rung's run, and of the cheapest prompt on our own machines (the zero-shot
  // rung), if measured.
  std::optional<SystemResult> best_result;
  std::optional<SystemResult> plain_result;
  std::optional<PromptRecord> prompt;  // of the best rung
  std::optional<DataEvidence> data;
  std::optional<Comparison> comparison;
  double evaluation_cost = 0;  // USD, of the ladder's runs
};

CaseFile BuildCase(const CaseSources& sources, absl::Time now);

}  // namespace crossover::evaluation
