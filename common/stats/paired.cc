#include "common/stats/paired.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "common/stats/proportion.h"
#include "common/stats/special.h"

namespace crossover::stats {
namespace {

double Mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / values.size();
}

bool AllBinary(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](double value) { return value == 0 || value == 1; });
}

std::vector<double> ResidualSums(const std::vector<double>& values,
                                 const std::vector<std::string>& clusters) {
  double mean = Mean(values);
  std::vector<double> sums;
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < values.size(); ++i) {
    size_t at = sums.size();
    if (!clusters.empty()) at = place.try_emplace(clusters[i], sums.size()).first->second;
    if (at == sums.size()) sums.push_back(0);
    sums[at] += values[i] - mean;
  }
  return sums;
}

// Every cluster has one member: the plain form is the same and its exact intervals apply.
bool Independent(const std::vector<std::string>& clusters) {
  std::unordered_map<std::string, int> seen;
  return std::all_of(clusters.begin(), clusters.end(),
                     [&](const std::string& cluster) { return ++seen[cluster] == 1; });
}

Interval ClusteredT(const std::vector<double>& values, const std::vector<std::string>& clusters,
                    double level, double smallest_error_scale) {
  std::vector<double> sums = ResidualSums(values, clusters);
  double groups = sums.size();
  Interval interval{.point = Mean(values),
                    .level = level,
                    .method = "clustered_t",
                    .n = static_cast<int64_t>(values.size()),
                    .clusters = static_cast<int64_t>(sums.size())};
  if (groups < 2) return interval;
  double squares = std::inner_product(sums.begin(), sums.end(), sums.begin(), 0.0);
  double error = std::sqrt(groups / (groups - 1) * squares) / values.size();
  error = std::max(error, smallest_error_scale / (groups + 2));
  double half = CriticalT(level, groups - 1) * error;
  interval.lower = interval.point - half;
  interval.upper = interval.point + half;
  return interval;
}

Interval Clamped(Interval interval, double low, double high) {
  interval.lower = std::max(interval.lower, low);
  interval.upper = std::min(interval.upper, high);
  return interval;
}

}  // namespace

double ClusteredStandardError(const std::vector<double>& values,
                              const std::vector<std::string>& clusters) {
  std::vector<double> sums = ResidualSums(values, clusters);
  if (sums.size() < 2) return kInfinity;
  double squares = std::inner_product(sums.begin(), sums.end(), sums.begin(), 0.0);
  return std::sqrt(sums.size() / (sums.size() - 1.0) * squares) / values.size();
}

Interval MeanScore(const std::vector<double>& scores, const std::vector<std::string>& clusters,
                   double level) {
  if (AllBinary(scores) && Independent(clusters)) {
    return Wilson(std::count(scores.begin(), scores.end(), 1.0),
                  static_cast<int64_t>(scores.size()), level);
  }
  return Clamped(ClusteredT(scores, clusters, level, 1.0), 0, 1);
}

Interval PairedDifference(const std::vector<double>& first, const std::vector<double>& second,
                          const std::vector<std::string>& clusters, double level) {
  if (AllBinary(first) && AllBinary(second) && Independent(clusters)) {
    PairedCounts counts;
    for (size_t i = 0; i < first.size(); ++i) {
      if (first[i] == 1) {
        ++(second[i] == 1 ? counts.both_right : counts.only_first);
      } else {
        ++(second[i] == 1 ? counts.only_second : counts.both_wrong);
      }
    }
    return NewcombePaired(counts, level);
  }
  std::vector<double> differences(first.size());
  std::transform(first.begin(), first.end(), second.begin(), differences.begin(), std::minus<>());
  return Clamped(ClusteredT(differences, clusters, level, 1.0), -1, 1);
}

Interval MeanInterval(const std::vector<double>& values, const std::vector<std::string>& clusters,
                      double level) {
  return ClusteredT(values, clusters, level, 0.0);
}

}  // namespace crossover::stats
