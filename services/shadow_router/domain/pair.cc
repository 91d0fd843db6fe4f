#include "services/shadow_router/domain/pair.h"

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

Validity JudgeValidity(const Answer& served, bool from_fallback, bool has_tool_results) {
  if (served.status == CallStatus::kCancelled) return Validity::kCancelled;
  if (from_fallback) return Validity::kFallback;
  if (served.status != CallStatus::kOk || served.finish_reason == "length")
    return Validity::kTruncated;
  if (served.finish_reason == "content_filter") return Validity::kFiltered;
  if (served.cached) return Validity::kCached;
  // Tool results in the conversation answer the calls of the model that was served: the other one
  // never made them.
  if (has_tool_results) return Validity::kToolSideEffect;
  return Validity::kValid;
}

}  // namespace crossover::router
