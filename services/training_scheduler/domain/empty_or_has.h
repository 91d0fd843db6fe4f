// Lists of what is wanted, where an empty one wants all.
#pragma once

#include <algorithm>
#include <vector>

namespace crossover::scheduler {

template <typename T>
bool EmptyOrHas(const std::vector<T>& values, const T& value) {
  return values.empty() || std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace crossover::scheduler
