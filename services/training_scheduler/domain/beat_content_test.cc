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

TEST_F(BeatContentTest, TheLogKeepsItsLastBytesAndBeginsWithAWholeCharacter) {
  const JobId id = Add();
  const GrantedLease lease = Lease("a");
  Say(lease, {.log_lines = {"first"}});
  // Every cut falls into one of the two bytes of an ä, in one of these two lengths.
  for (const std::string& end : {std::string("x"), std::string("xy")}) {
    std::string umlauts;
    for (int i = 0; i < 5000; ++i) umlauts += "\xC3\xA4";
    Say(lease, {.log_lines = {umlauts + end}});
    const std::string log = Get(id).log_tail;
    EXPECT_LE(log.size(), 8192u);
    EXPECT_GE(log.size(), 8191u);
    EXPECT_EQ(log.substr(0, 2), "\xC3\xA4");
    EXPECT_EQ(log.substr(log.size() - end.size() - 1), end + "\n");
  }
}

TEST_F(BeatContentTest, AJobWhoseWorkersAreKilledSaysSoInItsLog) {
  const JobId id = Add();
  const GrantedLease first = Lease("a");
  Say(first, {.log_lines = {"loading base sha256:base"}});
  LetExpire(id);
  EXPECT_EQ(Get(id).log_tail,
            "loading base sha256:base\n"
            "scheduler: lease 1 ended: worker a was not heard of in time\n");
  while (Get(id).state == JobState::kQueued) {
    Lease("b");
    ASSERT_OK(leasing_.Crashed("b", "b-1", "signal 9", ""));
  }
  const Job dead = Get(id);
  ASSERT_EQ(dead.state, JobState::kFailed);
  EXPECT_EQ(dead.error->reason, "LEASES_EXHAUSTED");
  EXPECT_THAT(dead.error->log_tail,
              ::testing::EndsWith("scheduler: lease 5 ended: worker b crashed: signal 9\n"));
}

TEST_F(BeatContentTest, WhatAttemptsCostAddsUpIfAPriceIsKnown) {
  Leasing priced(jobs_, random_, clock_, metrics_, {.device_hour_usd = 1.5});
  const JobId id = Add();
  Outcome failed = Failure(ErrorClass::kPlatform);
  failed.actual.seconds = 1800;
  ASSERT_OK(priced.Complete(Lease("a").token, failed));
  EXPECT_DOUBLE_EQ(Get(id).actual.cost_usd, 0.75);
  clock_.Advance(absl::Minutes(1));
  ASSERT_OK(jobs_.Update(id, [](Job& job, absl::Time now, Effects& effects) {
    return Unblock(job, Dependencies::kMet, now, effects);
  }));
  Outcome success = Success();
  success.actual.seconds = 3600;
  ASSERT_OK(priced.Complete(Lease("a").token, success));
  EXPECT_DOUBLE_EQ(Get(id).actual.cost_usd, 2.25);

  const JobId unpriced = Add();
  ASSERT_OK(leasing_.Complete(Lease("a").token, success));
  EXPECT_EQ(Get(unpriced).actual.cost_usd, 0);
}

}  // namespace
}  // namespace crossover::scheduler
