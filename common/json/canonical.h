// RFC 8785 (JSON Canonicalization Scheme): the one byte form of a JSON value that digests are taken
// of.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace crossover {

// Keys sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them: every number
// is an IEEE 754 double (an integer beyond 2^53 is rounded to the nearest one, as the RFC demands),
// -0 is 0. INVALID_ARGUMENT `JSON_NOT_CANONICAL` for NaN, infinity and strings that are not UTF-8.
absl::StatusOr<std::string> CanonicalJson(const nlohmann::json& value);

// "sha256:<64 hex>" of CanonicalJson(value).
absl::StatusOr<std::string> CanonicalDigest(const nlohmann::json& value);

// One number in ECMAScript's shortest form (Number.prototype.toString). `value` is finite.
std::string EcmaScriptNumber(double value);

}  // namespace crossover
