// A JSON Schema as it was written, with the way to each of its parts for messages.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::llm::constrain {

// Keeps the order of members.
using SchemaJson = nlohmann::ordered_json;

// A part of a schema. Borrows it.
struct SchemaPlace {
  const SchemaJson* json = nullptr;
  std::string pointer;  // "#/properties/name"

  SchemaPlace At(std::string_view key) const;
  SchemaPlace At(size_t index) const;
  const SchemaJson& operator*() const { return *json; }
};

// Schemas that hold together.
using Conjunction = std::vector<SchemaPlace>;

// CONSTRAINT_INVALID about a place.
absl::Status SchemaError(const SchemaPlace& place, std::string_view what);

// At most 128 KiB and 100 levels deep.
absl::StatusOr<SchemaJson> ParseSchema(std::string_view text);

// What `$ref` at `place` names: "#" or "#/…" within `root`.
absl::StatusOr<SchemaPlace> Resolve(const SchemaJson& root, const SchemaPlace& place);

}  // namespace crossover::llm::constrain
