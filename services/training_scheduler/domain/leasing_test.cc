#include "services/training_scheduler/domain/leasing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/training_scheduler/domain/leasing_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::SizeIs;

TEST_F(LeasingTest, AWorkerThatComesBackAfterItsLeaseExpiredPublishesNothing) {
  const JobId id = Add();
  const GrantedLease first = Lease("worker-a");
  LetExpire(id);
  const GrantedLease second = Lease("worker-b");

  EXPECT_THAT(leasing_.Complete(first.token, Success()), HasReasonThat("LEASE_LOST"));
  EXPECT_THAT(leasing_.RecordCheckpoint(first.token, {.step = 5, .digest = "sha256:x"}),
              HasReasonThat("LEASE_LOST"));
  EXPECT_THAT(leasing_.Heartbeat(first.token, {}), HasReasonThat("LEASE_LOST"));
  EXPECT_THAT(leasing_.Release(first.token, ReleaseReason::kDrain), HasReasonThat("LEASE_LOST"));
  EXPECT_OK(leasing_.Complete(second.token, Success()));
  EXPECT_EQ(Get(id).lease_epoch, 2);
}

TEST_F(LeasingTest, AnExpiredLeaseThatNobodyHasTakenMayBeRenewed) {
  const JobId id = Add();
  const GrantedLease lease = Lease("worker-a");
  clock_.Advance(options_.ttl + absl::Seconds(1));
  EXPECT_OK(leasing_.Heartbeat(lease.token, {.worker_seq = 1}));
  EXPECT_EQ(Get(id).lease->expire_time, clock_.Now() + options_.ttl);
}

TEST_F(LeasingTest, AForgedSecretIsALostLease) {
  Add();
  LeaseToken token = Lease("worker-a").token;
  token.secret = std::string(32, '0');
  EXPECT_THAT(leasing_.Heartbeat(token, {}), HasReasonThat("LEASE_LOST"));
  token.job = ids_.NextId();
  EXPECT_THAT(leasing_.Heartbeat(token, {}), HasReasonThat("LEASE_LOST"));
}

TEST_F(LeasingTest, ARepeatedHeartbeatAddsNothing) {
  const JobId id = Add();
  const GrantedLease lease = Lease("worker-a");
  Heartbeat beat;
  JobEvent event;
  event.type = EventType::kMessage;
  event.message = "loaded";
  event.worker_seq = 1;
  beat.events = {event};
  beat.worker_seq = 2;
  MetricPoint point;
  point.step = 1;
  point.values = {{"train_loss", 2.5}};
  beat.metrics = {point};
  const size_t before = jobs_.Events(id, 0, 100)->size();
  ASSERT_OK_AND_ASSIGN(HeartbeatReply reply, leasing_.Heartbeat(lease.token, beat));
  EXPECT_EQ(reply.accepted_seq, 2);
  ASSERT_OK(leasing_.Heartbeat(lease.token, beat));
  EXPECT_THAT(*jobs_.Events(id, 0, 100), SizeIs(before + 1));
  EXPECT_THAT(*jobs_.Metrics(id, 0, 1, 100), SizeIs(1));
}

TEST_F(LeasingTest, ABeatWhoseEventsArrivedInAnEarlierBeatAddsOnlyTheNewOnes) {
  const JobId id = Add();
  const GrantedLease lease = Lease("worker-a");
  const size_t before = jobs_.Events(id, 0, 100)->size();
  Heartbeat beat;
  JobEvent event;
  event.worker_seq = 1;
  beat.events = {event};
  beat.worker_seq = 2;
  ASSERT_OK(leasing_.Heartbeat(lease.token, beat));  // the answer was lost on the way
  event.worker_seq = 3;
  beat.events.push_back(event);
  beat.worker_seq = 4;
  ASSERT_OK(leasing_.Heartbeat(lease.token, beat));
  EXPECT_THAT(*jobs_.Events(id, 0, 100), SizeIs(before + 2));
}

TEST_F(LeasingTest, ABeatSaysWhatItsWorkerUsesAndARepeatSaysItAnew) {
  const JobId id = Add();
  const GrantedLease lease = Lease("worker-a");
  Heartbeat beat{.worker_seq = 1};
  ASSERT_OK(leasing_.Heartbeat(lease.token, beat));
  EXPECT_FALSE(Get(id).lease->usage.has_value());  // it did not say
  beat.usage = WorkerUsage{.devices = {{.kind = "cpu", .busy_ratio = 0.5}}};
  ASSERT_OK(leasing_.Heartbeat(lease.token, beat));
  EXPECT_EQ(Get(id).lease->usage->devices, beat.usage->devices);
  EXPECT_EQ(Get(id).lease->usage->time, clock_.Now());
  ASSERT_OK(leasing_.Release(lease.token, ReleaseReason::kDrain));
  EXPECT_FALSE(Get(id).lease.has_value());
}

TEST_F(LeasingTest, AWorkerThatAsksAllTheTimeIsWrittenEveryFiveSecondsAtMost) {
  LeaseRequest request{"worker-a", "life-1", {}};
  const auto busy = [&] { return jobs_.Workers("", 10)->at(0).usage->devices[0].busy_ratio; };
  request.usage = WorkerUsage{.devices = {{.kind = "cpu", .busy_ratio = 0.5}}};
  ASSERT_OK(leasing_.Saw(request));
  request.usage->devices[0].busy_ratio = 0.75;
  clock_.Advance(Leasing::kSeenAgain - absl::Milliseconds(1));
  ASSERT_OK(leasing_.Saw(request));
  EXPECT_EQ(busy(), 0.5);
  clock_.Advance(absl::Milliseconds(1));
  ASSERT_OK(leasing_.Saw(request));
  EXPECT_EQ(busy(), 0.75);
}

TEST_F(LeasingTest, EventSequencesHaveNoGaps) {
  const JobId id = Add();
  for (int i = 0; i < 3; ++i) {
    Lease("worker-a");
    LetExpire(id);
  }
  int64_t expected = 0;
  const auto listed = *jobs_.Events(id, 0, 1000);
  for (const JobEvent& event : listed) EXPECT_EQ(event.sequence, ++expected);
  EXPECT_EQ(Get(id).last_event_sequence, expected);
}

TEST_F(LeasingTest, ANewLifeEndsTheLeaseOfTheOneBefore) {
  const JobId id = Add();
  ASSERT_OK(leasing_.Saw({"w", "life-1", {}}));
  const GrantedLease lease = leasing_.TryLease({"w", "life-1", {}})->value();
  ASSERT_OK(leasing_.Saw({"w", "life-1", {}}));
  EXPECT_EQ(Get(id).state, JobState::kRunning);
  ASSERT_OK(leasing_.Saw({"w", "life-2", {}}));
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_EQ(Get(id).lease_loss_count, 1);
  EXPECT_THAT(leasing_.Heartbeat(lease.token, {}), HasReasonThat("LEASE_LOST"));
}

TEST_F(LeasingTest, TwoProcessesOfOneNameDoNotTakeEachOthersLeases) {
  const JobId id = Add();
  ASSERT_OK(leasing_.Saw({"w", "life-1", {}}));
  ASSERT_OK(leasing_.Saw({"w", "life-2", {}}));
  ASSERT_OK(leasing_.TryLease({"w", "life-2", {}}));
  EXPECT_THAT(leasing_.Saw({"w", "life-1", {}}), HasReasonThat("RESOURCE_IN_USE"));
  EXPECT_EQ(Get(id).state, JobState::kRunning);
}

TEST_F(LeasingTest, AWorkerOfOneProjectGetsItsJobsAlone) {
  Add();
  LeaseRequest request{"w", "life-1", {}};
  request.project = "other";
  EXPECT_FALSE(leasing_.TryLease(request)->has_value());
  request.project = "default";
  EXPECT_TRUE(leasing_.TryLease(request)->has_value());
}

TEST_F(LeasingTest, HigherPriorityGoesFirstUntilTheOtherHasWaitedLongEnough) {
  const JobId old = Add();
  clock_.Advance(absl::Minutes(5));
  const JobId urgent = Add();
  ASSERT_OK(jobs_.Update(urgent, [](Job& job, absl::Time, Effects&) {
    job.priority = 1;
    return absl::OkStatus();
  }));
  EXPECT_EQ(Lease("a").job.id, urgent);  // one point outweighs five minutes
  EXPECT_EQ(Lease("a").job.id, old);
}

}  // namespace
}  // namespace crossover::scheduler
