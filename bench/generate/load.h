// Load on an OpenAI-compatible server: requests sent at once over HTTP, their answers read as they
// come.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::bench {

struct LoadResult {
  double seconds = 0;               // From the first request to the last answer's end.
  int64_t tokens = 0;               // Generated, as the servers count them.
  std::vector<double> first_token;  // Of each request, from its sending.

  double tokens_per_second() const { return static_cast<double>(tokens) / seconds; }
};

// Sends each body, a streaming completions request with include_usage, on a connection and thread
// of its own, all at once. An error of any request is an error.
absl::StatusOr<LoadResult> RunLoad(const std::string& url, const std::vector<std::string>& bodies);

// The middle of the values, and what 95 and 99 of 100 stay below.
double Quantile(std::vector<double> values, double q);

}  // namespace crossover::bench
