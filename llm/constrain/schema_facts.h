// What a schema demands, keyword by keyword, after $ref, allOf, anyOf and oneOf have been worked
// in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/constrain/schema_document.h"

namespace crossover::llm::constrain {

enum SchemaType : unsigned {
  kNullType = 1,
  kBooleanType = 2,
  kIntegerType = 4,
  kNumberType = 8,  // Those that are no integers as well.
  kStringType = 16,
  kArrayType = 32,
  kObjectType = 64,
  kAnyType = 127,
};

// The types of a value (an integer is a number as well).
unsigned TypesOf(const SchemaJson& value);

// One way of being valid. All of it holds at once.
struct SchemaFacts {
  unsigned types = kAnyType;
  // Types that keywords are about; they stand in for `type` where there is none.
  unsigned hinted = 0;
  bool typed = false;
  // enum and const; nullopt: any value. `place` is one of them, for messages.
  std::optional<std::vector<SchemaJson>> values;

  std::vector<SchemaPlace> patterns;  // Of pattern and format.
  int64_t min_length = 0;
  std::optional<int64_t> max_length;

  struct Bound {
    double value = 0;
    bool exclusive = false;
    SchemaPlace place;
  };
  std::optional<Bound> low, high;

  Conjunction objects;                // Schemas with properties or additionalProperties.
  std::vector<std::string> required;  // In order of appearance, each once.

  Conjunction arrays;  // Schemas with items or prefixItems.
  int64_t min_items = 0;
  std::optional<int64_t> max_items;

  SchemaPlace place;  // The first schema, for messages.
};

// Schemas of which no two may be valid at once.
struct ExclusivePair {
  SchemaPlace one_of;
  SchemaPlace first;
  SchemaPlace second;
};

// What the conjunctions of one schema have in common.
struct FactsContext {
  const SchemaJson& root;
  std::vector<ExclusivePair> exclusive = {};  // To be checked; grows.
  std::set<const SchemaJson*> one_ofs = {};   // Whose pairs are there.
  int expanded = 0;                           // Ways looked at, possible or not.
};

// All ways of being valid for all schemas of a conjunction. Ways that are impossible by their
// types are left out, others are not.
absl::StatusOr<std::vector<SchemaFacts>> Alternatives(FactsContext& context,
                                                      const Conjunction& conjunction);

}  // namespace crossover::llm::constrain
