// INVALID_ARGUMENT `CONTEXT_LENGTH_EXCEEDED` with the field that is too long.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::inference {

// `tokens`: how many it is about, at least.
inline absl::Status DoesNotFit(const std::string& field, const std::string& what, int64_t tokens,
                               int64_t limit) {
  return Error(absl::StatusCode::kInvalidArgument, what,
               {.reason = "CONTEXT_LENGTH_EXCEEDED",
                .metadata = {{"tokens", absl::StrCat(tokens)}, {"limit", absl::StrCat(limit)}},
                .violations = {{field, absl::StrCat("must fit into ", limit, " tokens")}}});
}

}  // namespace crossover::inference
