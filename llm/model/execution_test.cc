#include "llm/model/execution.h"

#include <gtest/gtest.h>

#include "common/status/error.h"
#include "llm/model/memory.h"

namespace crossover::llm {
namespace {

TEST(ExecutionTest, AutoIsBf16WhereTheProcessorMultipliesIt) {
  const Execution automatic = Resolve({});
  EXPECT_EQ(automatic.bf16(), automatic.instructions.ends_with("-bf16"));
  EXPECT_GE(automatic.threads, 1);
}

TEST(ExecutionTest, WhatOwnProductsNeedAgreesWithTheNamedInstructions) {
  EXPECT_EQ(HasAvx512Bf16WithoutAmx(), Resolve({}).instructions == "avx512-bf16");
}

TEST(ExecutionTest, AForcedTypeIsTaken) {
  EXPECT_TRUE(Resolve({.compute_type = ComputeType::kBf16}).bf16());
  const Execution fp32 = Resolve({.threads = 3, .compute_type = ComputeType::kFp32});
  EXPECT_FALSE(fp32.bf16());
  EXPECT_EQ(ToString(fp32), "fp32, 3 threads, " + fp32.instructions + ", dense weights");
}

TEST(ExecutionTest, SettingsAreReadAndWrongOnesNameTheChoices) {
  EXPECT_EQ(*ParseComputeType("compute-type", "auto"), ComputeType::kAuto);
  EXPECT_EQ(*ParseComputeType("compute-type", "bf16"), ComputeType::kBf16);
  EXPECT_EQ(*ParseComputeType("compute-type", "fp32"), ComputeType::kFp32);
  const absl::Status type = ParseComputeType("compute-type", "fp16").status();
  EXPECT_TRUE(HasReason(type, "CONFIG_INVALID"));
  EXPECT_EQ(type.message(), "compute-type is 'fp16'; auto, bf16 and fp32 are known");
  EXPECT_EQ(*ParseWeightStorage("base-weights", "auto"), WeightStorage::kAuto);
  EXPECT_EQ(*ParseWeightStorage("base-weights", "nf4"), WeightStorage::kNf4);
  EXPECT_EQ(*ParseWeightStorage("base-weights", "stored"), WeightStorage::kStored);
  const absl::Status weights = ParseWeightStorage("base-weights", "int8").status();
  EXPECT_EQ(weights.message(), "base-weights is 'int8'; auto, dense, stored and nf4 are known");
}

TEST(MemoryTest, AvailableMemoryIsRead) {
  EXPECT_EQ(ParseMemAvailable("MemTotal:  9 kB\nMemAvailable:   1024 kB\nBuffers: 1 kB\n"),
            1 << 20);
  EXPECT_EQ(ParseMemAvailable("MemTotal:  9 kB\n"), 0);
  EXPECT_GT(AvailableMemory(), int64_t{1} << 20);
}

}  // namespace
}  // namespace crossover::llm
