// The answer to what the interface has and this binary does not serve yet.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::scheduler {

// UNIMPLEMENTED NOT_IMPLEMENTED. `instead` says what to do.
inline absl::Status NotImplemented(std::string_view what, std::string_view instead) {
  return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
               absl::StrCat(ToAbsl(what), " is not served yet: ", ToAbsl(instead)));
}

}  // namespace crossover::scheduler
