#include "llm/generate/penalties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "llm/generate/sampler.h"

namespace crossover::llm {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

std::vector<float> Penalised(const Sampling& sampling, std::vector<float> logits) {
  const std::vector<int32_t> prompt = {0, 1, 1, 900};
  const std::vector<GeneratedToken> answer = {{.id = 2}, {.id = 1}, {.id = 2}};
  ApplyPenalties(sampling, {prompt, std::span(answer).first(1), std::span(answer).subspan(1)},
                 logits);
  return logits;
}

TEST(PenaltiesTest, PresenceAndFrequencyCountTheAnswerOnly) {
  EXPECT_THAT(Penalised({.presence_penalty = 0.5}, {1, 1, 1, 1}), ElementsAre(1, 0.5, 0.5, 1));
  EXPECT_THAT(Penalised({.frequency_penalty = 0.25}, {1, 1, 1, 1}), ElementsAre(1, 0.75, 0.5, 1));
  EXPECT_THAT(Penalised({.presence_penalty = -1}, {1, 1, 1, 1}), ElementsAre(1, 2, 2, 1));
}

TEST(PenaltiesTest, RepetitionCountsPromptAndAnswer) {
  EXPECT_THAT(Penalised({.repetition_penalty = 2}, {1, -1, 0, 1}), ElementsAre(0.5, -2, 0, 1));
}

TEST(PenaltiesTest, AllThreeTogether) {
  EXPECT_THAT(Penalised({.repetition_penalty = 2, .presence_penalty = 1, .frequency_penalty = 0.5},
                        {4, 4, 4, 4}),
              ElementsAre(FloatEq(2), FloatEq(0.5), FloatEq(0), FloatEq(4)));
}

TEST(PenaltiesTest, WhatIsForbiddenStaysSo) {
  const float forbidden = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(Penalised({.repetition_penalty = 0.5, .presence_penalty = -2}, {0, forbidden, 0, 0})[1],
            forbidden);
}

TEST(PenaltiesTest, TheChoiceFollowsAndLogprobsDoNot) {
  const std::vector<GeneratedToken> answer = {{.id = 1}};
  std::vector<float> logits = {1, 2};
  const GeneratedToken plain = Sample({.temperature = 0, .top_logprobs = 1}, 0, logits);
  EXPECT_EQ(plain.id, 1);
  const GeneratedToken other = Sample({.temperature = 0, .presence_penalty = 2, .top_logprobs = 1},
                                      1, logits, {{}, answer, {}});
  EXPECT_EQ(other.id, 0);
  EXPECT_FLOAT_EQ(other.logprob, plain.logprob - 1);
  EXPECT_EQ(other.top[0].id, 1);
}

TEST(PenaltiesTest, LimitsAreChecked) {
  EXPECT_TRUE(CheckSampling({.repetition_penalty = 1.3, .presence_penalty = -2}, 8, false).ok());
  EXPECT_FALSE(CheckSampling({.repetition_penalty = 0}, 8, false).ok());
  EXPECT_FALSE(CheckSampling({.presence_penalty = 2.5}, 8, false).ok());
  EXPECT_FALSE(CheckSampling({.frequency_penalty = -3}, 8, false).ok());
}

}  // namespace
}  // namespace crossover::llm
