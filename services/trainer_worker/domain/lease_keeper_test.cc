#include "services/trainer_worker/domain/lease_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/error.h"
#include "common/time/fake_clock.h"
#include "services/trainer_worker/domain/fake_lease_client.h"

namespace crossover::worker {
namespace {

using ::testing::SizeIs;

class LeaseKeeperTest : public ::testing::Test {
 protected:
  LeaseKeeperTest() {
    job_.name = "projects/default/jobs/1";
    job_.ttl = absl::Seconds(30);
    job_.heartbeat_interval = absl::Seconds(10);
    job_.granted_at = clock_.SteadyNow();
    keeper_.emplace(client_, clock_, job_, KeeperOptions{.own_thread = false});
  }

  void TellStep(int64_t step) {
    keeper_->TellProgress({.step = step}, Metric{.step = step, .time = {}, .values = {}}, 0);
  }

  FakeClock clock_;
  FakeLeaseClient client_;
  LeasedJob job_;
  std::optional<LeaseKeeper> keeper_;
};

TEST_F(LeaseKeeperTest, ItBeatsAtItsIntervalAndSoonerWhenThereIsNews) {
  keeper_->Poll();
  EXPECT_THAT(client_.beats, SizeIs(0));
  clock_.Advance(absl::Seconds(10));
  keeper_->Poll();
  EXPECT_THAT(client_.beats, SizeIs(1));
  TellStep(1);
  EXPECT_THAT(client_.beats, SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  TellStep(2);
  ASSERT_THAT(client_.beats, SizeIs(2));
  EXPECT_THAT(client_.beats[1].metrics, SizeIs(2));
  EXPECT_EQ(client_.beats[1].progress.step, 2);
}

TEST_F(LeaseKeeperTest, TrustEndsBeforeTheDatabasesExpiryAndDoesNotComeBack) {
  clock_.Advance(absl::Seconds(26));
  EXPECT_FALSE(keeper_->lost());
  clock_.Advance(absl::Seconds(1));  // 30 s of life less 3 s of margin
  EXPECT_TRUE(keeper_->lost());
  keeper_->Poll();
  EXPECT_THAT(client_.beats, SizeIs(0));
  EXPECT_TRUE(keeper_->lost());
}

TEST_F(LeaseKeeperTest, EveryBeatRenewsTrustFromTheTimeBeforeTheCall) {
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(absl::Seconds(10));
    keeper_->Poll();
    EXPECT_FALSE(keeper_->lost()) << i;
  }
  clock_.JumpWallClock(absl::Hours(1));
  EXPECT_FALSE(keeper_->lost());
}

TEST_F(LeaseKeeperTest, AnUnansweredBeatIsRepeatedWithTheSameNumbersAndContent) {
  keeper_->TellEvent(Level::kInfo, "loaded");
  client_.beat_error = absl::UnavailableError("scheduler restarts");
  clock_.Advance(absl::Seconds(1));
  keeper_->Poll();
  keeper_->TellEvent(Level::kInfo, "second");
  clock_.Advance(absl::Seconds(1));
  keeper_->Poll();
  client_.beat_error = absl::OkStatus();
  clock_.Advance(absl::Seconds(1));
  keeper_->Poll();
  clock_.Advance(absl::Seconds(1));
  keeper_->Poll();
  ASSERT_THAT(client_.beats, SizeIs(4));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client_.beats[i].seq, 2);
    ASSERT_THAT(client_.beats[i].events, SizeIs(1));
    EXPECT_EQ(client_.beats[i].events[0].seq, 1);
  }
  EXPECT_EQ(client_.beats[3].events.at(0).message, "second");
  EXPECT_EQ(client_.beats[3].events.at(0).seq, 3);
  EXPECT_EQ(client_.beats[3].seq, 4);
}

TEST_F(LeaseKeeperTest, ALostLeaseIsLostForEver) {
  client_.beat_error = Error(absl::StatusCode::kAborted, "LEASE_LOST", "epoch 1 is over");
  clock_.Advance(absl::Seconds(10));
  keeper_->Poll();
  EXPECT_TRUE(keeper_->lost());
  client_.beat_error = absl::OkStatus();
  clock_.Advance(absl::Seconds(10));
  keeper_->Poll();
  EXPECT_THAT(client_.beats, SizeIs(1));
}

TEST_F(LeaseKeeperTest, AnOverloadedOrConflictingSchedulerIsAskedAgainWhileTheLeaseIsTrusted) {
  const std::vector<absl::Status> passing = {
      Error(absl::StatusCode::kResourceExhausted, "OVERLOADED", "queue full"),
      Error(absl::StatusCode::kAborted, "TRANSACTION_CONFLICT", "try again"),
      absl::InternalError("?")};
  keeper_->TellEvent(Level::kInfo, "loaded");
  for (const absl::Status& status : passing) {
    client_.beat_error = status;
    clock_.Advance(absl::Seconds(2));
    keeper_->Poll();
    EXPECT_FALSE(keeper_->lost()) << status;
  }
  client_.beat_error = absl::OkStatus();
  clock_.Advance(absl::Seconds(10));
  keeper_->Poll();
  EXPECT_THAT(client_.beats, SizeIs(4));
  client_.beat_error = absl::InvalidArgumentError("worker_seq");
  clock_.Advance(absl::Seconds(10));
  keeper_->Poll();
  EXPECT_TRUE(keeper_->lost());
}

TEST_F(LeaseKeeperTest, DirectivesAreKeptAndACheckpointIsAskedForOnce) {
  client_.directive = Directive::kCheckpoint;
  clock_.Advance(absl::Seconds(10));
  keeper_->Poll();
  EXPECT_EQ(keeper_->TakeDirective(), Directive::kCheckpoint);
  EXPECT_EQ(keeper_->TakeDirective(), Directive::kContinue);
  client_.directive = Directive::kPause;
  clock_.Advance(absl::Seconds(10));
  keeper_->Poll();
  EXPECT_EQ(keeper_->TakeDirective(), Directive::kPause);
  EXPECT_EQ(keeper_->TakeDirective(), Directive::kPause);
}

TEST_F(LeaseKeeperTest, TheLastReportCarriesWhatNoBeatHasAndWhatMayNotHaveArrived) {
  keeper_->TellEvent(Level::kInfo, "one");
  client_.beat_error = absl::DeadlineExceededError("");
  clock_.Advance(absl::Seconds(1));
  keeper_->Poll();
  keeper_->TellEvent(Level::kInfo, "two");
  TellStep(7);
  const Report last = keeper_->Stop();
  ASSERT_THAT(last.events, SizeIs(2));
  EXPECT_EQ(last.events[0].seq, 1);
  EXPECT_EQ(last.events[1].seq, 3);  // 2 was the unanswered beat's
  EXPECT_EQ(last.seq, 4);
  EXPECT_EQ(last.progress.step, 7);
  EXPECT_THAT(last.metrics, SizeIs(1));
}

TEST(LeaseKeeperThreadTest, ItBeatsWhileTheTrainingThreadIsBusy) {
  FakeClock clock;
  FakeLeaseClient client;
  LeasedJob job;
  job.ttl = absl::Seconds(30);
  job.heartbeat_interval = absl::Seconds(10);
  job.granted_at = clock.SteadyNow();
  LeaseKeeper keeper(client, clock, job, {});
  clock.Advance(absl::Seconds(10));
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  // Its own thread looks at the clock ten times a second.
  while (absl::Now() < give_up) {
    clock.Advance(absl::ZeroDuration());
    if (keeper.TakeDirective() == Directive::kContinue && !client.beats.empty()) break;
    std::this_thread::yield();
  }
  keeper.Stop();
  EXPECT_THAT(client.beats, SizeIs(1));
}

}  // namespace
}  // namespace crossover::worker
