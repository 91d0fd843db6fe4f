#include "services/shadow_router/domain/pair.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "services/shadow_router/domain/hash.h"

namespace crossover::router {

std::string_view ToString(LegRole role) {
  switch (role) {
    case LegRole::kPrimary:
      return "PRIMARY";
    case LegRole::kCandidate:
      return "CANDIDATE";
    case LegRole::kSecondary:
      return "SECONDARY";
  }
  return "UNKNOWN";
}

std::string_view ToString(Validity validity) {
  switch (validity) {
    case Validity::kValid:
      return "VALID";
    case Validity::kTruncated:
      return "TRUNCATED";
    case Validity::kCancelled:
      return "CANCELLED";
    case Validity::kFiltered:
      return "FILTERED";
    case Validity::kFallback:
      return "FALLBACK";
    case Validity::kCached:
      return "CACHED";
    case Validity::kToolSideEffect:
      return "TOOL_SIDE_EFFECT";
  }
  return "UNKNOWN";
}

std::string Provenance::Key() const {
  return JsonDigest(
      {primary_system, candidate_system, primary_prompt, candidate_prompt, comparators});
}

const Leg* Pair::Find(LegRole role) const {
  for (const Leg& leg : legs) {
    if (leg.role == role) return &leg;
  }
  return nullptr;
}

bool Pair::Gradable() const {
  return legs.size() > 1 && std::all_of(legs.begin(), legs.end(),
                                        [](const Leg& leg) { return leg.output_is_complete; });
}

Validity JudgeReference(const Answer& reference) {
  if (reference.status == CallStatus::kCancelled) return Validity::kCancelled;
  if (reference.status != CallStatus::kOk || reference.finish_reason == "length")
    return Validity::kTruncated;
  if (reference.finish_reason == "content_filter") return Validity::kFiltered;
  return reference.cached ? Validity::kCached : Validity::kValid;
}

}  // namespace crossover::router
