// What the parts of this benchmark share: percentiles, result lines, giving up.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::bench {

// The smallest value that `share` of all values do not exceed. `values` must not be empty.
double Percentile(std::vector<double> values, double share);

// `name value unit`, at once.
void Print(const std::string& name, double value, const char* unit);

// A figure with errors in it is none: prints the status and ends the program.
void Must(const absl::Status& status, const char* what);
template <typename T>
T Must(absl::StatusOr<T> value, const char* what) {
  Must(value.status(), what);
  return *std::move(value);
}

}  // namespace crossover::bench
