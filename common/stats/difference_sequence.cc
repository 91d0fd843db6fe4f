#include "common/stats/difference_sequence.h"

#include "common/status/status_macros.h"

namespace crossover::stats {
namespace {

bool IsBinary(double loss) { return loss == 0 || loss == 1; }

}  // namespace

DifferenceSequence::DifferenceSequence(double alpha)
    : sequence_({.alpha = alpha, .minimum = -1, .maximum = 1}) {}

void DifferenceSequence::AddLosses(double candidate, double primary) {
  sequence_.Add(candidate - primary);
  if (!IsBinary(candidate) || !IsBinary(primary)) return;
  harm_.Add(candidate == 1, primary == 1);
  gain_.Add(primary == 1, candidate == 1);
}

void DifferenceSequence::AddDifferences(bool candidate_differs, bool second_primary_differs) {
  AddLosses(candidate_differs ? 1 : 0, second_primary_differs ? 1 : 0);
}

Interval DifferenceSequence::Theta() const { return sequence_.Current(); }

SequentialVerdict DifferenceSequence::Verdict(double margin, double harm_alpha) const {
  Interval theta = Theta();
  if (n() == 0) return SequentialVerdict::kContinue;
  if (theta.lower > margin || (harm_alpha > 0 && harm_.Rejects(harm_alpha)))
    return SequentialVerdict::kRollBack;
  if (theta.upper < margin) return SequentialVerdict::kPromote;
  return SequentialVerdict::kContinue;
}

nlohmann::json DifferenceSequence::ToJson() const {
  return {{"sequence", sequence_.ToJson()}, {"harm", harm_.ToJson()}, {"gain", gain_.ToJson()}};
}

absl::StatusOr<DifferenceSequence> DifferenceSequence::FromJson(const nlohmann::json& json) {
  auto member = [&json](const char* key) {
    return json.is_object() ? json.value(key, nlohmann::json()) : nlohmann::json();
  };
  DifferenceSequence state;
  ASSIGN_OR_RETURN(state.sequence_, BernsteinSequence::FromJson(member("sequence")));
  ASSIGN_OR_RETURN(state.harm_, SequentialMcNemar::FromJson(member("harm")));
  ASSIGN_OR_RETURN(state.gain_, SequentialMcNemar::FromJson(member("gain")));
  return state;
}

}  // namespace crossover::stats
