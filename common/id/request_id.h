// What makes a repeated call harmless.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace crossover {

// Makes a create repeatable: the same id with the same payload gives the stored resource.
struct RequestKey {
  std::string id;       // empty = none: every call counts
  std::string payload;  // digest of the request without its id
};

// INVALID_ARGUMENT `FIELD_INVALID`, of the field request_id, unless `request_id` is empty (every
// call counts) or a UUID of any version in its hyphenated form. A short or guessed text would
// sooner or later meet another caller's, who would be told of a request that is not theirs.
absl::Status CheckRequestId(std::string_view request_id);

// INVALID_ARGUMENT `REQUEST_ID_REUSED`: `request_id` came before with another payload. `made`: what
// it made then, such as "job 06b…"; empty = nobody needs to know.
absl::Status RequestIdReused(std::string_view request_id, std::string_view made = "");

}  // namespace crossover
