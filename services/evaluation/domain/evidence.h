// One condition of a verdict with everything that is known about it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/stats/interval.h"

namespace crossover::evaluation {

enum class EvidenceKind { kNecessary, kSufficient };
enum class EvidenceStatus { kMet, kNotMet, kUnknown, kWaived };
enum class EvidenceSource { kMeasured, kDeclared, kDefault };

// A person's decision to go on without a condition. `reason` is never empty.
struct Waiver {
  std::string condition;
  std::string by;
  std::string reason;
  absl::Time time;
};

struct Evidence {
  std::string condition;  // stable name: "ladder_converged", "clean_rows" …
  EvidenceKind kind = EvidenceKind::kNecessary;
  EvidenceStatus status = EvidenceStatus::kUnknown;
  EvidenceSource source = EvidenceSource::kDefault;
  std::string value;  // as people read it
  std::optional<stats::Interval> interval;
  std::string threshold;            // as people read it: ">= 200 rows"
  std::vector<std::string> inputs;  // digests and names it was computed from
  std::optional<Waiver> waiver;
  std::string explanation;
  std::string next_step;  // how to make an UNKNOWN or NOT_MET condition MET

  // Met, or a person took the responsibility.
  bool Holds() const { return status == EvidenceStatus::kMet || status == EvidenceStatus::kWaived; }
};

// A fact with its origin. Absent facts are unknown: nothing is guessed.
template <typename T>
struct Fact {
  T value{};
  EvidenceSource source = EvidenceSource::kDeclared;
};

}  // namespace crossover::evaluation
