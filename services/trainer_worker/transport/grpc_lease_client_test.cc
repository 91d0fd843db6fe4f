#include "services/trainer_worker/transport/grpc_lease_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::worker {
namespace {

using ::testing::ElementsAre;

TEST(CapabilitiesOfTest, TheSchedulerIsToldWhatTheWorkerCanDo) {
  const auto capabilities =
      CapabilitiesOf({.name = "w",
                      .threads = 3,
                      .memory_bytes = 4096,
                      .max_gang = 2,
                      .gang_address = "192.0.2.7:7090",
                      .compute_types = {ComputeType::kBfloat16, ComputeType::kFloat32}});
  EXPECT_THAT(capabilities.compute_types(), ElementsAre("bfloat16", "float32"));
  EXPECT_EQ(capabilities.devices(0).units(), 3);
  EXPECT_EQ(capabilities.devices(0).memory_bytes(), 4096);
  EXPECT_EQ(capabilities.gang(), 2);
  EXPECT_EQ(capabilities.rendezvous(), "192.0.2.7:7090");
}

}  // namespace
}  // namespace crossover::worker
