#include "services/shadow_router/domain/facts.h"

namespace crossover::router {

PairFacts FactsOf(const Pair& pair, int64_t sequence) {
  PairFacts facts{.sequence = sequence,
                  .cluster = pair.cluster,
                  .self_compare = pair.self_compare,
                  .validity = pair.validity,
                  .agree = !pair.comparisons.empty() && pair.comparisons.front().equal,
                  .secondary_differs = pair.secondary_differs,
                  .candidate_differs_from_reference = pair.candidate_differs_from_reference,
                  .other_differs_from_reference = pair.other_differs_from_reference};
  if (const Leg* primary = pair.Find(LegRole::kPrimary)) {
    facts.primary_latency = primary->latency;
    facts.primary_ttft = primary->ttft;
    facts.primary_fingerprint = primary->system_fingerprint;
  }
  if (const Leg* candidate = pair.Find(LegRole::kCandidate)) {
    facts.candidate_latency = candidate->latency;
    facts.candidate_ttft = candidate->ttft;
    facts.candidate_fingerprint = candidate->system_fingerprint;
  }
  return facts;
}

GradeFacts FactsOf(const Pair& pair, const Grade& grade, int64_t sequence) {
  return {.sequence = sequence,
          .pair = pair.id,
          .cluster = pair.cluster,
          .self_compare = pair.self_compare,
          .validity = pair.validity,
          .source = grade.source,
          .primary_loss = grade.primary_loss,
          .candidate_loss = grade.candidate_loss};
}

}  // namespace crossover::router
