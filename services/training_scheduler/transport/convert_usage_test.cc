#include "services/training_scheduler/transport/convert_usage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(DropBadUsageTest, WhatIsRightStays) {
  WorkerUsage usage{.devices = {{.kind = "cpu", .memory_bytes = 3, .busy_ratio = 1.5}},
                    .tokens_per_second = 7};
  const WorkerUsage before = usage;
  EXPECT_THAT(DropBadUsage(usage), IsEmpty());
  EXPECT_EQ(usage, before);
}

TEST(DropBadUsageTest, NumbersThatMakeNoSenseBecomeUnknownAndAreNamed) {
  WorkerUsage usage{
      .devices = {{.kind = "cpu", .memory_bytes = 3, .busy_ratio = -0.25},
                  {.kind = std::string(33, 'x'), .memory_bytes = -1, .memory_limit_bytes = -2}},
      .tokens_per_second = std::numeric_limits<double>::quiet_NaN()};
  EXPECT_THAT(DropBadUsage(usage), ElementsAre(HasSubstr("tokens_per_second is nan"),
                                               HasSubstr("devices[0].busy_ratio is -0.25"),
                                               HasSubstr("devices[1].memory_bytes is -1"),
                                               HasSubstr("devices[1].memory_limit_bytes is -2"),
                                               HasSubstr("devices[1].kind has 33 bytes")));
  EXPECT_EQ(usage, (WorkerUsage{.devices = {{.kind = "cpu", .memory_bytes = 3}, {}}}));
  usage.devices.resize(20);
  EXPECT_THAT(DropBadUsage(usage), ElementsAre(HasSubstr("devices are 20; at most 16")));
  EXPECT_THAT(usage.devices, SizeIs(16));
}

}  // namespace
}  // namespace crossover::scheduler
