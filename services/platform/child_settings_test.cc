#include "services/platform/child_settings.h"

#include <gtest/gtest.h>

#include "common/testing/matchers.h"

namespace crossover::platform {
namespace {

using Flags = std::vector<std::string>;

TEST(ChildSettingsTest, WhatIsNotGivenIsLeftToTheChild) {
  EXPECT_OK(CheckChildSettings({}));
  EXPECT_EQ(ModelServerFlags({}), Flags{});
  EXPECT_EQ(TrainerFlags({}, "127.0.0.1:7090"), Flags{});
}

TEST(ChildSettingsTest, EachChildGetsTheFlagsItHas) {
  const ChildSettings settings{.compute_type = "fp32",
                               .base_weights = "stored",
                               .max_gang = 2,
                               .decode_weights = "int8",
                               .kv_cache_mb = 256,
                               .max_bases = 1,
                               .max_queue = 8};
  EXPECT_OK(CheckChildSettings(settings));
  EXPECT_EQ(ModelServerFlags(settings),
            (Flags{"--compute-type=fp32", "--decode-weights=int8", "--kv-cache-mb=256",
                   "--max-bases=1", "--max-queue=8"}));
  EXPECT_EQ(TrainerFlags(settings, "127.0.0.1:7090"),
            (Flags{"--compute-type=fp32", "--base-weights=stored", "--max-gang=2",
                   "--gang-address=127.0.0.1:7090"}));
  EXPECT_EQ(TrainerFlags({.max_gang = 1}, "127.0.0.1:7090"), Flags{"--max-gang=1"});
}

TEST(ChildSettingsTest, WhatAChildWouldRefuseIsRefusedBeforeItIsStarted) {
  for (const ChildSettings& wrong :
       {ChildSettings{.compute_type = "fp16"}, ChildSettings{.base_weights = "int8"},
        ChildSettings{.decode_weights = "nf4"}, ChildSettings{.kv_cache_mb = -1},
        ChildSettings{.max_queue = -1}, ChildSettings{.max_gang = 65}})
    EXPECT_THAT(CheckChildSettings(wrong), HasReasonThat("CONFIG_INVALID"));
  EXPECT_THAT(
      CheckChildSettings({.compute_type = "fp16"}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               ::testing::HasSubstr("--compute-type is 'fp16'; must be one of auto, bf16, fp32")));
}

}  // namespace
}  // namespace crossover::platform
