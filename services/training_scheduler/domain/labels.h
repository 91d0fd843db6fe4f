// What labels may be: at most 16, keys of 1 to 64 characters, values of at most 512. Keys that
// begin with `crossover.dev/` are those of Crossover's own services and do not count.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/status/error.h"

namespace crossover::scheduler {

inline constexpr char kReservedLabelPrefix[] = "crossover.dev/";

std::vector<FieldViolation> CheckLabels(const std::string& field,
                                        const std::map<std::string, std::string>& labels);

// INVALID_ARGUMENT FIELD_INVALID with CheckLabels' violations, if there are any.
absl::Status LabelsError(const std::string& field,
                         const std::map<std::string, std::string>& labels);

}  // namespace crossover::scheduler
