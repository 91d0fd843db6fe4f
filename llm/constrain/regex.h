// Regular expressions as automata.
//
// What is read is the regular part of ECMA-262, as JSON Schema asks for it, with the `u` flag:
// characters, . (no line break), classes [a-z] [^"], \d \w \s and their complements, \t \n \v \f \r
// \0 \xHH \uHHHH \u{H…}, escaped punctuation, groups ( ) (?: ) (?<name> ), |, * + ? {n} {n,}
// {n,m} (lazy forms mean the same), ^ and $. Refused by name: backreferences, lookaround, \b \B,
// \p{…}.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "llm/constrain/characters.h"

namespace crossover::llm::constrain {

enum class RegexUse {
  kWhole,   // The expression describes the whole text.
  kSearch,  // It describes a part of the text, as `pattern` of JSON Schema.
};

// InvalidArgument CONSTRAINT_INVALID with the character where it went wrong and why.
absl::StatusOr<CharAutomaton> CompileRegex(std::string_view pattern, RegexUse use);

// Of an expression written in this program.
CharAutomaton KnownRegex(std::string_view pattern);

}  // namespace crossover::llm::constrain
