// From answers to a pair: validity, comparisons, grades. Pure.
#pragma once

#include <optional>
#include <string>

#include "services/shadow_router/domain/pair.h"
#include "services/shadow_router/domain/routing_table.h"

namespace crossover::router {

// The answers of one request, by role. Either CANDIDATE is there, or (calibration) SECONDARY alone.
struct Answers {
  Answer primary;
  std::optional<Answer> candidate;
  std::optional<Answer> secondary;
};

// Fills comparisons, secondary_differs, the reference choice and grades of `pair` (whose id is
// set). `label` is the right output if the caller knows it. The reference of the equivalence test
// is one of the primary's two answers, drawn by the pair's id.
void CompareAndGrade(const ResolvedRoute& route, const Answers& answers,
                     const std::optional<std::string>& label, absl::Time now, Pair& pair);

}  // namespace crossover::router
