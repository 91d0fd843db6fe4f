// McNemar's question asked at every pair: is the first kind of discordance the more frequent one?
//
// A mixture e-process: E = 2 I_1/2(a+c, a+b) B(a+b, a+c) / B(a,a) 2^(b+c) with a = 1/2, the
// Beta(a,a) prior on the share of the first kind restricted to (1/2, 1). Under the null P(first
// kind | discordant) <= 1/2, P(ever E >= 1/alpha) <= alpha (Ville).
#pragma once

#include <cstdint>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace crossover::stats {

// Not thread-safe. Its state is two counts and the largest log E, whatever the number of pairs.
class SequentialMcNemar {
 public:
  // One pair: `first` if the first is wrong (or differs), `second` likewise. Concordant pairs carry
  // no information. To test "the candidate is worse", first = the candidate; for "the candidate is
  // better", first = the baseline.
  void Add(bool first, bool second);

  int64_t first_only() const { return b_; }
  int64_t second_only() const { return c_; }
  // Natural logarithm; -infinity where E underflows (the second kind overwhelms).
  double LogE() const;
  double MaxLogE() const { return max_log_e_; }
  // Always-valid p-value: min(1, 1 / max E).
  double PValue() const;
  // True from the first pair at which E >= 1/alpha on, for good.
  bool Rejects(double alpha) const;

  nlohmann::json ToJson() const;
  static absl::StatusOr<SequentialMcNemar> FromJson(const nlohmann::json& json);

 private:
  int64_t b_ = 0;
  int64_t c_ = 0;
  double max_log_e_ = 0;
};

// log E at given counts.
double McNemarLogE(int64_t b, int64_t c);

}  // namespace crossover::stats
