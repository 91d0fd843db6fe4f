// What a job keeps of its worker's beats.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "services/training_scheduler/domain/leasing_fixture.h"

namespace crossover::scheduler {
namespace {

class BeatContentTest : public LeasingTest {
 protected:
  void Say(const GrantedLease& lease, Heartbeat beat) {
    beat.worker_seq = ++said_;
    ASSERT_OK(leasing_.Heartbeat(lease.token, beat));
  }

 private:
  int64_t said_ = 0;
};

TEST_F(BeatContentTest, APointIsOfATimeWithinTheLeaseWhateverTheWorkersClockSays) {
  const JobId id = Add();
  const absl::Time granted = clock_.Now();
  const GrantedLease lease = Lease("a");
  clock_.Advance(absl::Seconds(10));
  const absl::Time now = clock_.Now();
  Heartbeat beat;
  beat.metrics = {{.step = 1, .time = now - absl::Hours(1)},
                  {.step = 2, .time = granted + absl::Seconds(4)},
                  {.step = 3, .time = now + absl::Hours(1)},
                  {.step = 4}};
  Say(lease, beat);
  ASSERT_OK_AND_ASSIGN(const std::vector<MetricPoint> points, jobs_.Metrics(id, 0, 1, 10));
  ASSERT_EQ(points.size(), 4u);
  EXPECT_EQ(points[0].time, granted);
  EXPECT_EQ(points[1].time, granted + absl::Seconds(4));
  EXPECT_EQ(points[2].time, now);
  EXPECT_EQ(points[3].time, now);
}

}  // namespace
}  // namespace crossover::scheduler
