// The tree of a regular expression. Of this room only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/constrain/characters.h"

namespace crossover::llm::constrain {

struct RegexTree {
  enum class Kind { kSet, kSequence, kChoice, kRepeat, kBegin, kEnd };
  Kind kind = Kind::kSequence;
  CharSet set;                   // kSet.
  std::vector<RegexTree> parts;  // kSequence, kChoice; one of kRepeat.
  int min = 0;                   // kRepeat.
  std::optional<int> max;
};

// Groups nest at most this deep.
inline constexpr int kMaxRegexDepth = 100;
// {n} and {n,m} count to at most this.
inline constexpr int kMaxRegexRepeat = 10'000;

// Errors as CompileRegex.
absl::StatusOr<RegexTree> ParseRegex(std::string_view pattern);

}  // namespace crossover::llm::constrain
