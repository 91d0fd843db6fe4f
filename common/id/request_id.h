// What makes a repeated call harmless.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace crossover {

// INVALID_ARGUMENT `FIELD_INVALID`, of the field request_id, unless `request_id` is empty (every
// call counts) or a UUID of any version in its hyphenated form. A short or guessed text would
// sooner or later meet another caller's, who would be told of a request that is not theirs.
absl::Status CheckRequestId(std::string_view request_id);

}  // namespace crossover
