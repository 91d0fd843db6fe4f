#include "llm/generate/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

namespace crossover::llm {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f};

GeneratedToken SampleOf(const Sampling& sampling, int64_t position) {
  std::vector<float> logits = kLogits;
  return Sample(sampling, position, logits);
}

std::map<int32_t, double> Shares(const Sampling& sampling, int n = 20000) {
  std::map<int32_t, double> shares;
  for (int i = 0; i < n; ++i) shares[SampleOf(sampling, i).id] += 1.0 / n;
  return shares;
}

TEST(SamplerTest, GreedyTakesTheMostLikelyAndTheLowestIdOnATie) {
  EXPECT_EQ(SampleOf({.temperature = 0}, 0).id, 1);
}

TEST(SamplerTest, FrequenciesFollowTheDistribution) {
  double total = 0;
  for (const float logit : kLogits) total += std::exp(logit / 0.7);
  const auto shares = Shares({.temperature = 0.7, .seed = 3});
  for (size_t i = 0; i < kLogits.size(); ++i) {
    const auto it = shares.find(static_cast<int32_t>(i));
    EXPECT_NEAR(it == shares.end() ? 0 : it->second, std::exp(kLogits[i] / 0.7) / total, 0.01) << i;
  }
}

TEST(SamplerTest, TopKAndTopPKeepTheMostLikelyOnly) {
  EXPECT_THAT(Shares({.top_k = 2}),
              testing::UnorderedElementsAre(testing::Key(1), testing::Key(3)));
  EXPECT_THAT(Shares({.top_p = 0.01}), testing::ElementsAre(testing::Key(1)));
  EXPECT_THAT(Shares({.top_p = 0.85}),
              testing::UnorderedElementsAre(testing::Key(1), testing::Key(2), testing::Key(3)));
}

TEST(SamplerTest, NucleusOfAWideVocabularyIsThatOfAFullSort) {
  std::vector<float> logits(5000);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>((i * 7919) % 5000) * 0.002f;
  std::vector<float> copy = logits;
  // Flat: 0.9 of the mass needs thousands of tokens; the least likely kept one is known from the
  // sorted order.
  std::vector<float> sorted = logits;
  std::sort(sorted.rbegin(), sorted.rend());
  double total = 0, sum = 0;
  for (const float logit : sorted) total += std::exp(logit);
  size_t n = 0;
  while (sum < 0.9 * total) sum += std::exp(sorted[n++]);
  for (int i = 0; i < 500; ++i) {
    copy = logits;
    EXPECT_GE(logits[Sample({.top_p = 0.9, .seed = 1}, i, copy).id], sorted[n - 1]);
  }
}

TEST(SamplerTest, SeedAndPositionDecide) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(SampleOf({.seed = 9}, i).id, SampleOf({.seed = 9}, i).id);
  int different = 0;
  for (int i = 0; i < 50; ++i)
    different += SampleOf({.seed = 9}, i).id != SampleOf({.seed = 10}, i).id;
  EXPECT_GT(different, 5);
}

TEST(SamplerTest, LogprobsAreOfTheModelNotOfTheBias) {
  const GeneratedToken token =
      SampleOf({.temperature = 0, .logit_bias = {{4, 100}}, .top_logprobs = 2}, 0);
  EXPECT_EQ(token.id, 4);
  double total = 0;
  for (const float logit : kLogits) total += std::exp(logit);
  EXPECT_NEAR(token.logprob, -1 - std::log(total), 1e-5);
  ASSERT_EQ(token.top.size(), 2u);
  EXPECT_EQ(token.top[0].id, 1);
  EXPECT_EQ(token.top[1].id, 3);
}

TEST(SamplerTest, OutOfRangeSettingsAreNamed) {
  EXPECT_FALSE(CheckSampling({.temperature = -1}, 10, true).ok());
  EXPECT_FALSE(CheckSampling({.temperature = NAN}, 10, true).ok());
  EXPECT_FALSE(CheckSampling({.top_p = 0}, 10, true).ok());
  EXPECT_FALSE(CheckSampling({.max_tokens = 0}, 10, true).ok());
  EXPECT_FALSE(CheckSampling({.stop = {"x"}}, 10, false).ok());
  EXPECT_FALSE(CheckSampling({.logit_bias = {{10, 1}}}, 10, true).ok());
  EXPECT_TRUE(CheckSampling({}, 10, false).ok());
}

}  // namespace
}  // namespace crossover::llm
