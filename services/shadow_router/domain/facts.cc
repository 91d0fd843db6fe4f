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
  const Leg* primary = pair.Find(LegRole::kPrimary);
  const Leg* candidate = pair.Find(LegRole::kCandidate);
  if (primary != nullptr) facts.primary_fingerprint = primary->system_fingerprint;
  if (candidate != nullptr) facts.candidate_fingerprint = candidate->system_fingerprint;
  const auto answered = [](const Leg* leg) {
    return leg != nullptr && leg->status == CallStatus::kOk;
  };
  // A call that failed has no speed.
  if (!answered(primary) || !answered(candidate)) return facts;
  facts.primary_latency = primary->latency;
  facts.candidate_latency = candidate->latency;
  // The first byte of a stream and the head of a whole answer are different things.
  if (primary->streamed == candidate->streamed) {
    facts.primary_ttft = primary->ttft;
    facts.candidate_ttft = candidate->ttft;
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
