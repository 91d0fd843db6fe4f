// Shared by the two halves of the gate.
#pragma once

#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "services/evaluation/domain/case_file.h"
#include "services/evaluation/domain/evidence.h"

namespace crossover::evaluation {

inline Evidence Unknown(std::string condition, EvidenceKind kind, std::string threshold,
                        std::string next_step) {
  return {.condition = std::move(condition),
          .kind = kind,
          .status = EvidenceStatus::kUnknown,
          .source = EvidenceSource::kDefault,
          .value = "unknown",
          .threshold = std::move(threshold),
          .explanation = "Nobody has measured or declared it.",
          .next_step = std::move(next_step)};
}

inline Evidence Judged(std::string condition, EvidenceKind kind, bool met, EvidenceSource source,
                       std::string value, std::string threshold, std::string next_step_if_not) {
  return {.condition = std::move(condition),
          .kind = kind,
          .status = met ? EvidenceStatus::kMet : EvidenceStatus::kNotMet,
          .source = source,
          .value = std::move(value),
          .threshold = std::move(threshold),
          .next_step = met ? "" : std::move(next_step_if_not)};
}

// What the return on investment cannot be computed without.
inline std::string MissingForReturn(const CaseFile& file) {
  return file.costs_missing.empty() ? "developer hours, volume or prices"
                                    : absl::StrJoin(file.costs_missing, "; ");
}

inline std::string Percent(double share) { return absl::StrFormat("%.1f %%", share * 100); }
inline std::string Percent(const stats::Interval& share) {
  return absl::StrFormat("%.1f %% [%.1f, %.1f]", share.point * 100, share.lower * 100,
                         share.upper * 100);
}
inline std::string Points(const stats::Interval& difference) {
  return absl::StrFormat("%+.1f points [%+.1f, %+.1f]", difference.point * 100,
                         difference.lower * 100, difference.upper * 100);
}

}  // namespace crossover::evaluation
