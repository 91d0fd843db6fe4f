#include "common/time/fake_clock.h"

#include <gtest/gtest.h>

#include <thread>

namespace crossover {
namespace {

TEST(FakeClockTest, SleeperWakesWhenItsTimeHasComeAndNotBefore) {
  FakeClock clock;
  std::atomic<bool> awake = false;
  std::thread sleeper([&] {
    clock.SleepFor(absl::Seconds(10));
    awake = true;
  });
  clock.WaitForSleepers(1);
  clock.Advance(absl::Seconds(9));
  EXPECT_FALSE(awake);
  clock.Advance(absl::Seconds(1));
  sleeper.join();
  EXPECT_TRUE(awake);
}

TEST(FakeClockTest, JumpOfTheWallClockLeavesSteadyTimeAlone) {
  FakeClock clock;
  const absl::Duration steady = clock.SteadyNow();
  const absl::Time wall = clock.Now();
  clock.JumpWallClock(-absl::Hours(1));
  EXPECT_EQ(clock.SteadyNow(), steady);
  EXPECT_EQ(clock.Now(), wall - absl::Hours(1));
}

}  // namespace
}  // namespace crossover
