// Are two answers the same? Per task, the comparator that knows what "same" means there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/shadow_router/domain/answer.h"

namespace crossover::router {

struct ComparatorSpec {
  enum class Kind {
    kExact,      // Bytes of the content.
    kText,       // After NFKC case folding and collapsing of white space.
    kJson,       // Both parse, and every field is equal. `fields` restricts to these paths.
    kNumeric,    // Both are one number, within `tolerance`.
    kToolCalls,  // Same tools with equal JSON arguments, in order.
  };
  Kind kind = Kind::kText;
  std::vector<std::string> fields;  // kJson: dotted paths such as `section` or `address.city`;
                                    // empty: every leaf of either answer.
  double tolerance = 0;             // kNumeric: |a-b| <= tolerance * max(1, |b|).

  bool operator==(const ComparatorSpec&) const = default;
};

std::string_view ToString(ComparatorSpec::Kind kind);

struct FieldResult {
  std::string path;
  bool equal = false;

  bool operator==(const FieldResult&) const = default;
};

struct ComparisonResult {
  std::string comparator;  // `exact`, `normalised`, `json_fields`, `numeric`, `tool_call`.
  bool equal = false;
  double score = 0;                 // Share of fields that are equal; 0 or 1 for the others.
  std::vector<FieldResult> fields;  // kJson only, sorted by path.

  bool operator==(const ComparisonResult&) const = default;
};

// `reference` is what `answer` is held against: another answer, or a label.
ComparisonResult Compare(const ComparatorSpec& spec, const Answer& answer, const Answer& reference);
ComparisonResult CompareText(const ComparatorSpec& spec, std::string_view answer,
                             std::string_view reference);

// NFKC case folding, runs of white space to one blank, ends trimmed. Invalid UTF-8 is replaced by
// U+FFFD.
std::string NormalisedText(std::string_view text);

}  // namespace crossover::router
