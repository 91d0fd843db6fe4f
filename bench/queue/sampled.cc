#include "bench/queue/sampled.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace crossover::bench {

double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::max<size_t>(rank, 1) - 1];
}

void Print(const std::string& name, double value, const char* unit) {
  std::printf(value < 10 ? "%s %.3f %s\n" : "%s %.1f %s\n", name.c_str(), value, unit);
  std::fflush(stdout);
}

void Must(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "bench queue: %s: %s\n", what, status.ToString().c_str());
  std::exit(1);
}

}  // namespace crossover::bench
