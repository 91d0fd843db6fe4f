// What an answer can be asked to look like.
//
// JSON is written with a choice of white space: after { [ , and : and before } and ] there may be a
// space, or a line break and up to 32 spaces; nowhere else any. Numbers have at most 18 digits
// before and after the point and two in the exponent, so that every reader can hold them.
//
// JSON Schema (2020-12). An allowed answer is always valid; not every valid one is allowed:
//   * properties come in the schema's order; with `properties` and without `additionalProperties`
//     there are no others, and with `prefixItems` and without `items` no further items;
//   * a schema without `type` is of the types that its keywords are about, or of all types;
//   * strings that are restricted by more than their length, names of properties, and `enum` and
//     `const` have one spelling (escaped where JSON demands it only).
// Served: type; enum, const; properties, required, additionalProperties; items, prefixItems,
// minItems, maxItems; minLength, maxLength, pattern (regex.h), format (date, time, date-time, uuid,
// email, ipv4, hostname); minimum, maximum, exclusiveMinimum, exclusiveMaximum (of numbers that are
// not integers: whole bounds up to a million); anyOf; oneOf whose parts exclude each other; allOf;
// $ref to # and #/…, also to itself; $defs; true and false. Words that restrict nothing (title,
// description, default …) and unknown ones are passed over; other words of JSON Schema are refused.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/constrain/automaton.h"

namespace crossover::llm {

struct ConstraintSpec {
  enum class Kind {
    kJsonObject,  // Any JSON object.
    kJsonSchema,  // `text` is a JSON Schema, at most 128 KiB.
    kRegex,       // `text` is a regular expression (regex.h) for the whole answer.
    kChoice,      // One of `choices`.
    kToolCall,    // A call of one of `tools` as ChatML models write it:
                  // <tool_call>\n{"name": …, "arguments": …}\n</tool_call>
    kAnyOf,       // What one of `alternatives` allows.
  };
  struct Tool {
    std::string name;
    std::string parameters;  // JSON Schema; "": any object.
  };

  Kind kind = Kind::kJsonObject;
  std::string text;
  std::vector<std::string> choices;
  std::vector<Tool> tools;
  std::vector<ConstraintSpec> alternatives;
};

// Equal for equal specs only.
std::string CanonicalText(const ConstraintSpec& spec);

// InvalidArgument CONSTRAINT_INVALID: not readable, not served (with the keyword and its JSON
// pointer), too large, or nothing is allowed by it.
absl::StatusOr<constrain::Automaton> CompileAutomaton(const ConstraintSpec& spec);

}  // namespace crossover::llm
