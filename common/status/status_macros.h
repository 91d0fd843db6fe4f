// RETURN_IF_ERROR and ASSIGN_OR_RETURN, for functions that return absl::Status or absl::StatusOr.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define CROSSOVER_CONCAT_INNER(a, b) a##b
#define CROSSOVER_CONCAT(a, b) CROSSOVER_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                      \
  do {                                                   \
    ::absl::Status crossover_status = (expression);      \
    if (!crossover_status.ok()) return crossover_status; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expression) \
  CROSSOVER_ASSIGN_OR_RETURN(CROSSOVER_CONCAT(crossover_status_or_, __LINE__), lhs, expression)

#define CROSSOVER_ASSIGN_OR_RETURN(result, lhs, expression) \
  auto result = (expression);                               \
  if (!result.ok()) return std::move(result).status();      \
  lhs = *std::move(result)
