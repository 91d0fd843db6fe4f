#include "common/stats/agreement.h"

#include <map>
#include <numeric>

#include "common/status/error.h"

namespace crossover::stats {
namespace {

absl::Status Bad(std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT", message);
}

double Sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Coincidences of values within units: o[v][w] = sum over units of ordered pairs (v, w) / (ratings
// of the unit - 1).
struct Coincidences {
  std::vector<double> values;
  std::vector<std::vector<double>> matrix;
  std::vector<double> margins;
  double total = 0;
};

Coincidences Coincide(const std::vector<std::vector<std::optional<double>>>& ratings) {
  std::map<double, size_t> index;
  for (const auto& row : ratings) {
    for (const auto& rating : row) {
      if (rating) index.emplace(*rating, 0);
    }
  }
  Coincidences result;
  for (auto& [value, at] : index) {
    at = result.values.size();
    result.values.push_back(value);
  }
  result.matrix.assign(index.size(), std::vector<double>(index.size(), 0));
  size_t units = ratings.empty() ? 0 : ratings[0].size();
  for (size_t unit = 0; unit < units; ++unit) {
    std::vector<double> counts(index.size(), 0);
    for (const auto& row : ratings) {
      if (unit < row.size() && row[unit]) ++counts[index[*row[unit]]];
    }
    double rated = Sum(counts);
    if (rated < 2) continue;
    for (size_t v = 0; v < counts.size(); ++v) {
      for (size_t w = 0; w < counts.size(); ++w) {
        result.matrix[v][w] += counts[v] * (counts[w] - (v == w)) / (rated - 1);
      }
    }
  }
  for (const auto& row : result.matrix) result.margins.push_back(Sum(row));
  result.total = Sum(result.margins);
  return result;
}

double SquaredDistance(const Coincidences& coincidences, size_t v, size_t w, Scale scale) {
  if (v == w) return 0;
  if (scale == Scale::kNominal) return 1;
  if (scale == Scale::kInterval) {
    double distance = coincidences.values[v] - coincidences.values[w];
    return distance * distance;
  }
  if (v > w) std::swap(v, w);
  double between = -(coincidences.margins[v] + coincidences.margins[w]) / 2;
  for (size_t g = v; g <= w; ++g) between += coincidences.margins[g];
  return between * between;
}

}  // namespace

absl::StatusOr<double> CohenKappa(const std::vector<std::vector<double>>& confusion) {
  size_t size = confusion.size();
  std::vector<double> rows(size, 0), columns(size, 0);
  double diagonal = 0;
  for (size_t i = 0; i < size; ++i) {
    if (confusion[i].size() != size) return Bad("Cohen's kappa needs a square confusion matrix");
    for (size_t j = 0; j < size; ++j) {
      rows[i] += confusion[i][j];
      columns[j] += confusion[i][j];
    }
    diagonal += confusion[i][i];
  }
  double total = Sum(rows);
  if (total <= 0) return Bad("Cohen's kappa needs at least one item rated by both annotators");
  double observed = diagonal / total;
  double expected =
      std::inner_product(rows.begin(), rows.end(), columns.begin(), 0.0) / (total * total);
  return expected == 1 ? 1 : (observed - expected) / (1 - expected);
}

absl::StatusOr<double> CohenKappa(const std::vector<std::string>& first,
                                  const std::vector<std::string>& second) {
  if (first.size() != second.size())
    return Bad("Cohen's kappa needs two lists of labels of equal length");
  std::map<std::string, size_t> index;
  for (const auto& list : {first, second}) {
    for (const auto& label : list) index.emplace(label, index.size());
  }
  std::vector<std::vector<double>> confusion(index.size(), std::vector<double>(index.size(), 0));
  for (size_t i = 0; i < first.size(); ++i) ++confusion[index[first[i]]][index[second[i]]];
  return CohenKappa(confusion);
}

absl::StatusOr<double> FleissKappa(const std::vector<std::vector<int>>& counts) {
  if (counts.empty() || counts[0].empty())
    return Bad("Fleiss' kappa needs at least one item and one category");
  int raters = std::accumulate(counts[0].begin(), counts[0].end(), 0);
  if (raters < 2) return Bad("Fleiss' kappa needs at least two ratings per item");
  std::vector<double> categories(counts[0].size(), 0);
  double agreement = 0;
  for (const auto& item : counts) {
    if (item.size() != categories.size() ||
        std::accumulate(item.begin(), item.end(), 0) != raters) {
      return Bad("Fleiss' kappa needs the same number of ratings for every item");
    }
    double pairs = 0;
    for (size_t category = 0; category < item.size(); ++category) {
      categories[category] += item[category];
      pairs += static_cast<double>(item[category]) * (item[category] - 1);
    }
    agreement += pairs / (static_cast<double>(raters) * (raters - 1));
  }
  double observed = agreement / counts.size();
  double expected = 0;
  for (double category : categories) {
    double share = category / (static_cast<double>(counts.size()) * raters);
    expected += share * share;
  }
  return expected == 1 ? 1 : (observed - expected) / (1 - expected);
}

absl::StatusOr<double> KrippendorffAlpha(
    const std::vector<std::vector<std::optional<double>>>& ratings, Scale scale) {
  Coincidences coincidences = Coincide(ratings);
  if (coincidences.total < 2)
    return Bad("Krippendorff's alpha needs a unit with at least two ratings");
  double observed = 0, expected = 0;
  for (size_t v = 0; v < coincidences.values.size(); ++v) {
    for (size_t w = 0; w < coincidences.values.size(); ++w) {
      double distance = SquaredDistance(coincidences, v, w, scale);
      observed += coincidences.matrix[v][w] * distance;
      expected += coincidences.margins[v] * coincidences.margins[w] * distance;
    }
  }
  // One value alone was ever used: nobody disagreed, and chance could not either.
  if (expected == 0) return 1;
  return 1 - observed / (expected / (coincidences.total - 1));
}

}  // namespace crossover::stats
