// What a job's workers cost.
#pragma once

#include <algorithm>
#include <cstdint>

namespace crossover::scheduler {

// In USD, of `workers` devices that are busy for so many seconds each; 0, "not known", if the price
// of a device hour is not known.
inline double CostOf(double device_hour_usd, double seconds, int32_t workers) {
  return device_hour_usd * seconds / 3600 * std::max(1, workers);
}

}  // namespace crossover::scheduler
