#include "services/training_scheduler/domain/suffix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "services/training_scheduler/domain/leasing_fixture.h"

namespace crossover::scheduler {
namespace {

TEST(SuffixTest, WhatOpenAiTakesIsTakenAndNamesSayItAsASlug) {
  EXPECT_TRUE(IsSuffix("my_model"));
  EXPECT_EQ(SuffixSlug("my_model"), "my-model");
  EXPECT_EQ(SuffixSlug("Legal"), "legal");
  EXPECT_EQ(SuffixSlug("a:b/c d"), "a-b-c-d");
  EXPECT_EQ(SuffixSlug("M\xC3\xA4rz 2026"), "m-rz-2026");
  EXPECT_EQ(SuffixSlug("acme-7"), "acme-7");
  std::string umlauts;
  for (int i = 0; i < kLongestSuffix; ++i) umlauts += "\xC3\xA4";
  EXPECT_TRUE(IsSuffix(umlauts)) << "characters count, not bytes";
  EXPECT_EQ(SuffixSlug(umlauts), std::string(kLongestSuffix, '-'));
  EXPECT_FALSE(IsSuffix(umlauts + "x"));
  EXPECT_FALSE(IsSuffix("two\nlines"));
}

class SuffixJobTest : public LeasingTest {};

TEST_F(SuffixJobTest, TheFinishedModelsNamesHaveTheSlugAndTheJobKeepsWhatWasGiven) {
  const JobId id = Add();
  ASSERT_OK(jobs_.Update(id, [](Job& job, absl::Time, Effects&) {
    job.spec.training.suffix = "My_Model";
    return absl::OkStatus();
  }));
  ASSERT_OK(leasing_.Complete(Lease("a").token, Success()));
  const Job done = Get(id);
  EXPECT_EQ(done.spec.training.suffix, "My_Model");
  EXPECT_EQ(done.outputs.model_alias, "ft:base:default:my-model:" + id.substr(id.size() - 8));
  EXPECT_THAT(done.outputs.model_version, ::testing::HasSubstr("/models/base-my-model/"));
}

}  // namespace
}  // namespace crossover::scheduler
