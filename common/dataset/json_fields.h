// Private to common/dataset: reading fields of a JSON object with errors that name the path.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::dataset::internal {

using Json = nlohmann::json;

// InvalidArgument ROW_INVALID: "<path> <what>", with the path as a field violation.
absl::Status FieldError(std::string_view path, std::string_view what);

// `path.key`, or `key` when the path is empty.
std::string Join(std::string_view path, std::string_view key);

// `path[index]`.
std::string At(std::string_view path, size_t index);

// What a value is, for messages: "a number", "null", ….
std::string_view Kind(const Json& value);

// Parses JSON text no deeper than 64 levels, so that neither parsing nor writing can exhaust the
// stack.
absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view path);

// The member, or null if it is absent or JSON null.
const Json* Find(const Json& object, const char* key);

// A required or optional string member. Optional: "" if absent or null.
absl::StatusOr<std::string> RequiredString(const Json& object, const char* key,
                                           std::string_view path);
absl::StatusOr<std::string> OptionalString(const Json& object, const char* key,
                                           std::string_view path);

// An optional finite number >= 0.
absl::StatusOr<std::optional<double>> OptionalWeight(const Json& object, std::string_view path);

// Compact text; bytes that are not UTF-8 become U+FFFD.
std::string Dump(const Json& value);

}  // namespace crossover::dataset::internal
