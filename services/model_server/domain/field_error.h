// INVALID_ARGUMENT with the field that is wrong.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::inference {

inline absl::Status FieldError(const std::string& field, const std::string& rule) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, " ", rule),
               {.reason = "FIELD_INVALID", .violations = {{field, rule}}});
}

}  // namespace crossover::inference
