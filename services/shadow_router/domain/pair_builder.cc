#include "services/shadow_router/domain/pair_builder.h"

#include "services/shadow_router/domain/hash.h"

namespace crossover::router {
namespace {

bool Differs(const ComparatorSpec& spec, const Answer& a, const Answer& b) {
  return !a.IsWhole() || !b.IsWhole() || !Compare(spec, a, b).equal;
}

// An answer that was cut, filtered or failed equals nothing.
ComparisonResult CompareWhole(const ComparatorSpec& spec, const Answer& answer,
                              const Answer& reference) {
  if (answer.IsWhole() && reference.IsWhole()) return Compare(spec, answer, reference);
  return {.comparator = std::string(ToString(spec.kind)), .equal = false, .score = 0, .fields = {}};
}

double FormatLoss(const Validator& validator, const Answer& answer) {
  return answer.IsWhole() && validator.Check(answer.content).ok() ? 0 : 1;
}

}  // namespace

void CompareAndGrade(const ResolvedRoute& route, const Answers& answers,
                     const std::optional<std::string>& label, absl::Time now, Pair& pair) {
  const ComparatorSpec& deciding = route.comparators.front();
  const Answer& other = answers.candidate ? *answers.candidate : *answers.secondary;
  for (const ComparatorSpec& spec : route.comparators) {
    pair.comparisons.push_back(CompareWhole(spec, other, answers.primary));
  }
  // A second answer that was cut says nothing about the reference's own noise.
  const bool doubled = answers.secondary && answers.secondary->IsWhole();
  if (doubled) {
    pair.secondary_differs = Differs(deciding, *answers.secondary, answers.primary);
  }
  if (doubled && answers.candidate) {
    const bool swap = SaltedHash("reference", pair.id) % 2 == 1;
    const Answer& reference = swap ? *answers.secondary : answers.primary;
    pair.candidate_differs_from_reference = Differs(deciding, *answers.candidate, reference);
    pair.other_differs_from_reference = pair.secondary_differs;
  }
  if (label) {
    pair.grades.push_back({.source = GradeSource::kLabel,
                           .grader_version = ComparatorVersion(deciding),
                           .primary_loss = LabelLoss(deciding, answers.primary, *label),
                           .candidate_loss = LabelLoss(deciding, other, *label),
                           .time = now});
  }
  if (route.validator) {
    pair.grades.push_back({.source = GradeSource::kValidator,
                           .grader_version = route.validator->version(),
                           .primary_loss = FormatLoss(*route.validator, answers.primary),
                           .candidate_loss = FormatLoss(*route.validator, other),
                           .time = now});
  }
}

}  // namespace crossover::router
