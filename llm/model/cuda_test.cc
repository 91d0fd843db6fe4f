#include "llm/model/cuda.h"

#include <gtest/gtest.h>

#include "common/status/error.h"

namespace crossover::llm {
namespace {

// No GPU is needed to find out what is said where one is missing: every step is refused in turn.
std::string Refusal(const CudaPlaces& places) {
  const absl::Status status = LoadCuda(places);
  EXPECT_TRUE(HasReason(status, "CUDA_UNAVAILABLE")) << status;
  return std::string(status.message());
}

TEST(CudaTest, AMachineWithoutGpuIsTold) {
  EXPECT_EQ(Refusal({.devices = {"/nowhere/nvidiactl", "/nowhere/dxg"}}),
            "CUDA cannot be used: this machine has no NVIDIA GPU (none of /nowhere/nvidiactl, "
            "/nowhere/dxg)");
}

TEST(CudaTest, AGpuWithoutDriverIsTold) {
  const std::string said = Refusal({.devices = {"/dev/null"}, .driver = "/nowhere/libcuda.so.1"});
  EXPECT_NE(said.find("driver is not installed: /nowhere/libcuda.so.1"), std::string::npos) << said;
}

TEST(CudaTest, MissingLibrariesAreTold) {
  const std::string said = Refusal({.devices = {"/dev/null"},
                                    .driver = "libm.so.6",
                                    .libtorch_cuda = "/nowhere/libtorch_cuda.so"});
  EXPECT_NE(said.find("/nowhere/libtorch_cuda.so"), std::string::npos) << said;
}

TEST(CudaTest, WhatIsFoundIsLoadedForAll) {
  EXPECT_TRUE(
      LoadCuda({.devices = {"/dev/null"}, .driver = "libm.so.6", .libtorch_cuda = "libm.so.6"})
          .ok());
}

}  // namespace
}  // namespace crossover::llm
