#include "common/stats/multiple.h"

#include <algorithm>
#include <numeric>

namespace crossover::stats {
namespace {

template <typename Less>
std::vector<size_t> Order(size_t size, Less less) {
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), less);
  return order;
}

}  // namespace

std::vector<double> HolmAdjusted(const std::vector<double>& p_values) {
  auto order =
      Order(p_values.size(), [&](size_t a, size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> adjusted(p_values.size());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    double scaled = p_values[order[rank]] * static_cast<double>(order.size() - rank);
    largest = std::max(largest, std::min(1.0, scaled));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

std::vector<bool> EBenjaminiHochberg(const std::vector<double>& e_values, double alpha) {
  auto order =
      Order(e_values.size(), [&](size_t a, size_t b) { return e_values[a] > e_values[b]; });
  double count = e_values.size();
  size_t rejected = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    if (e_values[order[rank]] * (rank + 1) >= count / alpha) rejected = rank + 1;
  }
  std::vector<bool> result(e_values.size(), false);
  for (size_t rank = 0; rank < rejected; ++rank) result[order[rank]] = true;
  return result;
}

}  // namespace crossover::stats
