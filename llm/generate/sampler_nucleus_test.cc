// What top_k and top_p leave, beside a full sort of all logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "llm/generate/sampler.h"
#include "llm/model/random.h"

namespace crossover::llm {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// As Sample draws with top_k or top_p, but everything is sorted.
int32_t DrawFromAll(const Sampling& sampling, int64_t position, const std::vector<float>& logits) {
  std::vector<std::pair<float, int32_t>> all;  // Logits negated: most likely first, then by id.
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != kNever) all.emplace_back(-logits[i], static_cast<int32_t>(i));
  }
  std::sort(all.begin(), all.end());
  const float best = -all[0].first;
  const auto weight = [&](float logit) {
    return logit == best ? 1 : std::exp((logit - best) / sampling.temperature);
  };
  double total = 0;
  for (const float logit : logits) total += weight(logit);
  if (sampling.top_k > 0 && static_cast<int>(all.size()) > sampling.top_k)
    all.resize(static_cast<size_t>(sampling.top_k));
  if (sampling.top_k > 0) {
    total = 0;
    for (const auto& [negated, id] : all) total += weight(-negated);
  }
  double sum = 0;
  size_t n = 0;
  while (n < all.size() && (n == 0 || sampling.top_p >= 1 || sum < sampling.top_p * total))
    sum += weight(-all[n++].first);
  double left =
      RandomUniform(sampling.seed, uint64_t{1} << 40, static_cast<uint64_t>(position)) * sum;
  for (size_t i = 0; i < n; ++i) {
    left -= weight(-all[i].first);
    if (left < 0) return all[i].second;
  }
  return all[n - 1].second;
}

TEST(SamplerNucleusTest, TokensAreThoseOfAFullSortAtAnyTemperature) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(300);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = i % 7 == 0 ? kNever : std::round(normal(random) * 4) / 4;  // With ties.
  for (const double temperature :
       {5e-324, 1e-310, 1e-300, 1e-9, 1e-4, 0.01, 0.3, 1.0, 4.0, 100.0}) {
    for (const int top_k : {0, 1, 2, 40, 1000}) {
      for (const double top_p : {0.1, 0.5, 0.95, 1.0}) {
        for (int64_t position = 0; position < 20; ++position) {
          const Sampling sampling{
              .temperature = temperature, .top_p = top_p, .top_k = top_k, .seed = 3};
          std::vector<float> scratch = logits;
          if (top_k == 0 && top_p == 1) continue;  // Nothing is left out, and nothing sorted.
          EXPECT_EQ(Sample(sampling, position, scratch).id, DrawFromAll(sampling, position, logits))
              << temperature << ' ' << top_k << ' ' << top_p << ' ' << position;
        }
      }
    }
  }
}

// Two tokens are as good as each other, however cold it is.
TEST(SamplerNucleusTest, EqualTokensStayEqualAtTinyTemperatures) {
  for (const double temperature : {5e-324, 1e-310, 1e-300}) {
    std::set<int32_t> drawn;
    for (int i = 0; i < 60; ++i) {
      std::vector<float> logits = {1, 3, 2, 3, -1};
      drawn.insert(Sample({.temperature = temperature, .top_p = 0.9}, i, logits).id);
    }
    EXPECT_EQ(drawn, (std::set<int32_t>{1, 3})) << temperature;
  }
}

// Ten tokens of weight 1 and 40,000 of e^-8.5: the 20,000 most likely weigh 14.07 together, half of
// which is eight tokens and not half of the ten.
TEST(SamplerNucleusTest, TopPIsOfAllThatTopKLeaves) {
  std::vector<float> logits(40010, -8.5f);
  for (size_t i = 0; i < 10; ++i) logits[i * 4000] = 0;
  std::set<int32_t> drawn;
  for (int i = 0; i < 120; ++i) {
    std::vector<float> scratch = logits;
    drawn.insert(Sample({.temperature = 1, .top_p = 0.5, .top_k = 20000}, i, scratch).id);
  }
  EXPECT_EQ(drawn.size(), 8u);
}

// A vocabulary of a real size, which must not be looked at a thousand times a token.
TEST(SamplerNucleusTest, ATinyTemperatureIsNoMoreWorkThanAnother) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(50000);
  for (float& logit : logits) logit = normal(random);
  const int32_t best = MostLikely(logits);
  for (int i = 0; i < 100; ++i) {
    std::vector<float> scratch = logits;
    EXPECT_EQ(Sample({.temperature = 1e-300, .top_k = 40}, i, scratch).id, best);
  }
}

}  // namespace
}  // namespace crossover::llm
