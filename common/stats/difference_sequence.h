// The quantity that decides an experiment, watched pair by pair.
//
// Improvement: x = loss(candidate) - loss(primary), losses in [0,1].
// Equivalence: x = 1[candidate != reference] - 1[second primary answer != reference] in {-1,0,1}:
// what the candidate adds to the primary's own noise. In both, theta = E[x], and positive means
// that the candidate is worse (or differs more).
#pragma once

#include <cstdint>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "common/stats/bernstein_sequence.h"
#include "common/stats/sequential_mcnemar.h"

namespace crossover::stats {

enum class SequentialVerdict { kContinue, kPromote, kRollBack };

// Not thread-safe. O(1) state.
class DifferenceSequence {
 public:
  // `alpha` of the whole experiment. The two-sided sequence gives each side alpha/2: half for a
  // wrong promotion, half for a wrong rollback.
  explicit DifferenceSequence(double alpha = 0.05);

  // A pair of losses in [0,1]. McNemar counts it only where both are 0 or 1.
  void AddLosses(double candidate, double primary);
  // A double-sampled request in equivalence mode.
  void AddDifferences(bool candidate_differs, bool second_primary_differs);

  int64_t n() const { return sequence_.n(); }
  // Of theta, in [-1,1].
  Interval Theta() const;
  // "The candidate is worse": evidence against theta <= 0 from the discordant pairs.
  const SequentialMcNemar& harm() const { return harm_; }
  // "The candidate is better".
  const SequentialMcNemar& gain() const { return gain_; }

  // Rolls back iff lower(theta) > margin, promotes iff upper(theta) < margin; rollback is asked
  // first. `harm_alpha` > 0 also rolls back when the McNemar e-process reaches 1/harm_alpha (a
  // share of the rollback half of alpha).
  SequentialVerdict Verdict(double margin, double harm_alpha = 0) const;

  nlohmann::json ToJson() const;
  static absl::StatusOr<DifferenceSequence> FromJson(const nlohmann::json& json);

 private:
  BernsteinSequence sequence_;
  SequentialMcNemar harm_;
  SequentialMcNemar gain_;
};

}  // namespace crossover::stats
