#include "services/training_scheduler/domain/techniques.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

// Field and description of the only violation.
std::string Violation(const TechniqueSpec& spec, bool wsd = true, bool continues = false) {
  const std::vector<FieldViolation> violations = CheckTechniques(spec, wsd, continues);
  EXPECT_EQ(violations.size(), 1u);
  return violations.empty() ? "" : violations[0].field + " " + violations[0].description;
}

TEST(TechniquesTest, WhatIsOutOfRangeIsNamedWithItsRange) {
  EXPECT_THAT(Violation({.dropout = 0.95}),
              HasSubstr("adapter.dropout is 0.95; must be between 0 and 0.9"));
  EXPECT_THAT(Violation({.layers = {2, -1}}), HasSubstr("adapter.layers has -1"));
  EXPECT_THAT(Violation({.rank_pattern = {{"q_proj", 513}}}),
              HasSubstr("adapter.rank_pattern has 513 for 'q_proj'; must be between 1 and 512"));
  EXPECT_THAT(Violation({.alpha_pattern = {{"q_proj", 0}}}),
              HasSubstr("adapter.alpha_pattern has 0 for 'q_proj'"));
  EXPECT_THAT(Violation({.decay_share = 1.5}), HasSubstr("decay_share is 1.5"));
  EXPECT_THAT(Violation({.decay_share = 0.5}, /*wsd=*/false), HasSubstr("schedule WSD"));
  EXPECT_THAT(Violation({.lora_plus_ratio = 0}), HasSubstr("lora_plus_ratio is 0"));
  EXPECT_THAT(Violation({.embedding_noise = 101}), HasSubstr("embedding_noise is 101"));
  EXPECT_THAT(Violation({.initial = InitialAdapter::kPissa}, true, /*continues=*/true),
              HasSubstr("adapter.initial is PISSA"));
}

TEST(TechniquesTest, AbsentFieldsAreOffAndGivenOnesAreKept) {
  EXPECT_TRUE(CheckTechniques({}, false, false).empty());
  const ResolvedTechniques off = ResolveTechniques({});
  EXPECT_EQ(off.dropout, 0);
  EXPECT_FALSE(off.dora);
  EXPECT_EQ(off.initial, InitialAdapter::kUniform);
  EXPECT_EQ(off.lora_plus_ratio, 1);
  const ResolvedTechniques given = ResolveTechniques({.dropout = 0.1,
                                                      .layers = {3},
                                                      .rank_pattern = {{"down_proj", 32}},
                                                      .dora = true,
                                                      .initial = InitialAdapter::kPissa,
                                                      .decay_share = 0.1,
                                                      .lora_plus_ratio = 16,
                                                      .embedding_noise = 5});
  EXPECT_EQ(given.dropout, 0.1);
  EXPECT_EQ(given.layers, std::vector<int32_t>{3});
  EXPECT_EQ(given.rank_pattern.at("down_proj"), 32);
  EXPECT_TRUE(given.dora);
  EXPECT_EQ(given.initial, InitialAdapter::kPissa);
  EXPECT_EQ(given.decay_share, 0.1);
  EXPECT_EQ(given.lora_plus_ratio, 16);
  EXPECT_EQ(given.embedding_noise, 5);
}

}  // namespace
}  // namespace crossover::scheduler
