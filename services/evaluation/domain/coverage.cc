#include "services/evaluation/domain/coverage.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "common/stats/percentile.h"
#include "common/stats/proportion.h"

namespace crossover::evaluation {
namespace {

constexpr size_t kDimensions = 512;
constexpr size_t kMostTraining = 4000;
constexpr size_t kMostProbes = 500;
constexpr size_t kLeastTraining = 20;

using Vector = std::array<float, kDimensions>;

Vector Embed(const std::string& text) {
  Vector vector{};
  for (size_t i = 0; i + 3 <= text.size(); ++i) {
    uint32_t hash = 2166136261u;  // FNV-1a
    for (size_t j = i; j < i + 3; ++j)
      hash = (hash ^ static_cast<unsigned char>(text[j])) * 16777619u;
    vector[(hash ^ (hash >> 16)) % kDimensions] += 1;
  }
  float length = 0;
  for (float value : vector) length += value * value;
  length = std::sqrt(length);
  if (length > 0) {
    for (float& value : vector) value /= length;
  }
  return vector;
}

std::vector<Vector> EmbedSome(const std::vector<std::string>& texts, size_t most) {
  std::vector<Vector> vectors;
  size_t count = std::min(texts.size(), most);
  vectors.reserve(count);
  for (size_t i = 0; i < count; ++i) vectors.push_back(Embed(texts[i * texts.size() / count]));
  return vectors;
}

// Distance to the nearest training vector but the one at `self`.
double Nearest(const Vector& vector, const std::vector<Vector>& training, size_t self) {
  float best = -1;
  for (size_t i = 0; i < training.size(); ++i) {
    if (i == self) continue;
    float dot = 0;
    for (size_t d = 0; d < kDimensions; ++d) dot += vector[d] * training[i][d];
    best = std::max(best, dot);
  }
  return 1 - best;
}

}  // namespace

std::optional<stats::Interval> MeasureCoverage(const std::vector<std::string>& training,
                                               const std::vector<std::string>& inputs) {
  if (training.size() < kLeastTraining || inputs.empty()) return std::nullopt;
  std::vector<Vector> vectors = EmbedSome(training, kMostTraining);
  std::vector<double> inside;
  size_t probes = std::min(vectors.size(), kMostProbes);
  for (size_t i = 0; i < probes; ++i) {
    size_t at = i * vectors.size() / probes;
    inside.push_back(Nearest(vectors[at], vectors, at));
  }
  double limit = stats::Percentile(inside, 0.95).point;
  std::vector<Vector> asked = EmbedSome(inputs, kMostProbes);
  int64_t near = std::count_if(asked.begin(), asked.end(), [&](const Vector& vector) {
    return Nearest(vector, vectors, vectors.size()) <= limit;
  });
  return stats::Wilson(near, static_cast<int64_t>(asked.size()));
}

}  // namespace crossover::evaluation
