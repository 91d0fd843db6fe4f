// What of a stored pair enters the tests: shared by the stores.
#pragma once

#include "services/shadow_router/domain/pair.h"
#include "services/shadow_router/domain/verdict.h"

namespace crossover::router {

PairFacts FactsOf(const Pair& pair, int64_t sequence);
GradeFacts FactsOf(const Pair& pair, const Grade& grade, int64_t sequence);

}  // namespace crossover::router
