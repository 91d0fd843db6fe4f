#include "services/trainer_worker/engine/peak_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "common/testing/temp_dir.h"

namespace crossover::worker {
namespace {

constexpr size_t kBig = size_t{192} << 20;

// Pages that are given back at once, as those of a base model are.
void TouchAndFree(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  std::memset(pages, 1, bytes);
  munmap(pages, bytes);
}

TEST(PeakMemoryTest, WhatWasFreedBeforeTheRestartIsNotCounted) {
  TouchAndFree(kBig);
  const int64_t before = PeakMemoryBytes();
  EXPECT_GE(before, static_cast<int64_t>(kBig));
  if (!RestartPeakMemory()) GTEST_SKIP() << "/proc/self/clear_refs cannot be written here";
  EXPECT_LT(PeakMemoryBytes(), before - static_cast<int64_t>(kBig) / 2);
  const int64_t after = PeakMemoryBytes();
  TouchAndFree(kBig);
  EXPECT_GT(PeakMemoryBytes(), after + static_cast<int64_t>(kBig) / 2);
}

TEST(PeakMemoryTest, TheMarkIsThatOfTheProcessesStatus) {
  crossover::testing::TempDir proc;
  crossover::testing::WriteFile(
      proc / "status", "Name:\tworker\nVmPeak:\t 900 kB\nVmHWM:\t  12 kB\nVmRSS:\t 7 kB\n");
  EXPECT_EQ(PeakMemoryBytes(proc.path()), 12 * 1024);
}

TEST(PeakMemoryTest, WithoutProcTheMostOfTheProcessesLifeIsTold) {
  crossover::testing::TempDir empty;
  EXPECT_FALSE(RestartPeakMemory(empty.path()));
  EXPECT_FALSE(std::filesystem::exists(empty / "clear_refs"));
  EXPECT_GT(PeakMemoryBytes(empty.path()), 1 << 20);
}

}  // namespace
}  // namespace crossover::worker
