// How leases end, what that costs their jobs, and what finished jobs leave behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "services/training_scheduler/domain/leasing_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST_F(LeasingTest, FiveLostLeasesInARowFailTheJob) {
  const JobId id = Add();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Get(id).state, JobState::kQueued);
    Lease("worker-a");
    LetExpire(id);
  }
  EXPECT_EQ(Get(id).state, JobState::kFailed);
  EXPECT_EQ(Get(id).error->reason, "LEASES_EXHAUSTED");
  EXPECT_EQ(Get(id).error->error_class, ErrorClass::kInfrastructure);
}

TEST_F(LeasingTest, TenKillsWithProgressBetweenThemDoNotFailTheJob) {
  const JobId id = Add();
  for (int i = 1; i <= 10; ++i) {
    const GrantedLease lease = Lease("worker-a");
    EXPECT_EQ(lease.resume.has_value() ? lease.resume->step : 0, (i - 1) * 10);
    ASSERT_OK(leasing_.RecordCheckpoint(lease.token, {.step = i * 10, .digest = "sha256:c"}));
    EXPECT_EQ(Get(id).lease_loss_count, 0);
    LetExpire(id);
  }
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_OK(leasing_.Complete(Lease("worker-a").token, Success()));
}

TEST_F(LeasingTest, ACheckpointThatIsNoFurtherThanTheLastLossDoesNotResetTheCount) {
  const JobId id = Add();
  ASSERT_OK(leasing_.RecordCheckpoint(Lease("a").token, {.step = 10, .digest = "sha256:c"}));
  LetExpire(id);
  ASSERT_OK(leasing_.RecordCheckpoint(Lease("a").token, {.step = 10, .digest = "sha256:c"}));
  EXPECT_EQ(Get(id).lease_loss_count, 1);
}

TEST_F(LeasingTest, ADrainCostsNothing) {
  const JobId id = Add();
  for (int i = 0; i < 8; ++i) {
    EXPECT_OK(leasing_.Release(Lease("worker-a").token, ReleaseReason::kDrain));
  }
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_EQ(Get(id).lease_loss_count, 0);

  // Nor its place in line, whatever has come meanwhile.
  const GrantedLease lease = Lease("worker-a");
  clock_.Advance(absl::Seconds(1));
  const JobId later = Add();
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(leasing_.Release(lease.token, ReleaseReason::kDrain));
  EXPECT_EQ(Get(id).ready_time, clock_.Now());
  const GrantedLease again = Lease("worker-b");
  EXPECT_EQ(again.job.id, id);
  // Who gives it to a more urgent job stands behind.
  ASSERT_OK(leasing_.Release(again.token, ReleaseReason::kPreempted));
  EXPECT_EQ(Lease("worker-b").job.id, later);
}

TEST_F(LeasingTest, ALostWorkerCostsNoPlaceInLine) {
  const JobId id = Add();
  Lease("worker-a");
  clock_.Advance(absl::Seconds(1));
  Add();
  LetExpire(id);
  EXPECT_EQ(Get(id).lease_loss_count, 1);
  EXPECT_EQ(Lease("worker-b").job.id, id);
}

TEST_F(LeasingTest, AUserErrorFailsAtOnceAndOthersAreTriedAgainAfterAPause) {
  const JobId user = Add();
  ASSERT_OK(leasing_.Complete(Lease("a").token, Failure(ErrorClass::kUser)));
  EXPECT_EQ(Get(user).state, JobState::kFailed);

  const JobId broken = Add();
  for (int failure = 1; failure <= 3; ++failure) {
    ASSERT_OK(leasing_.Complete(Lease("a").token, Failure(ErrorClass::kInfrastructure)));
    if (failure == 3) break;
    EXPECT_EQ(Get(broken).state, JobState::kBlocked);
    EXPECT_EQ(*Get(broken).start_time, clock_.Now() + absl::Seconds(failure == 1 ? 10 : 20));
    clock_.Advance(absl::Seconds(21));
    ASSERT_OK(jobs_.Update(broken, [](Job& job, absl::Time now, Effects& effects) {
      return Unblock(job, Dependencies::kMet, now, effects);
    }));
  }
  EXPECT_EQ(Get(broken).state, JobState::kFailed);
  EXPECT_EQ(Get(broken).failure_count, 3);
  EXPECT_EQ(Get(broken).error->message, "something broke");
}

TEST_F(LeasingTest, PauseAndCancelReachTheWorkerAsDirectivesAndEndWithItsRelease) {
  const JobId id = Add();
  GrantedLease lease = Lease("worker-a");
  ASSERT_OK(jobs_.Update(
      id, [](Job& job, absl::Time now, Effects& effects) { return Pause(job, now, effects); }));
  EXPECT_EQ(leasing_.Heartbeat(lease.token, {.worker_seq = 1})->directive, Directive::kPause);
  EXPECT_OK(leasing_.Release(lease.token, ReleaseReason::kPaused));
  EXPECT_EQ(Get(id).state, JobState::kPaused);

  ASSERT_OK(jobs_.Update(id, [](Job& job, absl::Time now, Effects& effects) {
    return Resume(job, Dependencies::kMet, now, effects);
  }));
  lease = Lease("worker-a");
  ASSERT_OK(jobs_.Update(
      id, [](Job& job, absl::Time now, Effects& effects) { return Cancel(job, now, effects); }));
  EXPECT_EQ(leasing_.Heartbeat(lease.token, {.worker_seq = 1})->directive, Directive::kCancel);
  EXPECT_OK(leasing_.Release(lease.token, ReleaseReason::kCancelled));
  EXPECT_EQ(Get(id).state, JobState::kCancelled);
}

TEST_F(LeasingTest, AJobThatFinishesWhileItIsCancelledIsCancelledAndKeepsItsArtifacts) {
  const JobId id = Add();
  const GrantedLease lease = Lease("worker-a");
  ASSERT_OK(jobs_.Update(
      id, [](Job& job, absl::Time now, Effects& effects) { return Cancel(job, now, effects); }));
  ASSERT_OK(leasing_.Complete(lease.token, Success()));
  EXPECT_EQ(Get(id).state, JobState::kCancelled);
  EXPECT_EQ(Get(id).outputs.adapter_digest, "sha256:adapter");
  EXPECT_THAT(*models_.ListVersions({.project = "default"}), SizeIs(0));
}

TEST_F(LeasingTest, AParentThatReapedItsChildEndsTheChildsLeaseAtOnce) {
  const JobId id = Add();
  Lease("worker-a");
  ASSERT_OK_AND_ASSIGN(std::optional<Job> none, leasing_.Crashed("worker-a", "another life"));
  EXPECT_FALSE(none.has_value());
  ASSERT_OK_AND_ASSIGN(std::optional<Job> job, leasing_.Crashed("worker-a", "worker-a-1"));
  EXPECT_EQ(job->id, id);
  EXPECT_EQ(job->state, JobState::kQueued);
  EXPECT_EQ(job->lease_loss_count, 1);
}

TEST_F(LeasingTest, AJobThatEndsByACrashIsCountedAsEnded) {
  Add();
  for (int i = 0; i < 5; ++i) {
    Lease("w");
    ASSERT_OK(leasing_.Crashed("w", "w-1"));
  }
  EXPECT_THAT(registry_.Expose(),
              HasSubstr("crossover_scheduler_job_run_seconds_count{kind=\"SFT\"} 1"));
}

TEST_F(LeasingTest, AFinishedJobIsRegisteredAsAModelVersionWithItsLineage) {
  const JobId id = Add();
  ASSERT_OK(leasing_.Complete(Lease("worker-a").token, Success()));
  ASSERT_OK_AND_ASSIGN(ModelVersion version, models_.GetVersion("default", "-", "sha256:adapter"));
  EXPECT_EQ(version.source_job, id);
  EXPECT_EQ(version.base_digest, "sha256:base");
  EXPECT_EQ(version.model, "base-ft");
  EXPECT_THAT(version.alias, HasSubstr("ft:base:default::"));
  EXPECT_EQ(Get(id).outputs.model_alias, version.alias);
}

TEST_F(LeasingTest, EqualBytesOfTwoJobsAreOneVersionWhoseAliasBothTell) {
  const JobId first = Add();
  const JobId second = Add();
  ASSERT_OK(leasing_.Complete(Lease("a").token, Success()));
  ASSERT_OK(leasing_.Complete(Lease("a").token, Success()));
  EXPECT_EQ(Get(first).outputs.model_alias, Get(second).outputs.model_alias);
  EXPECT_OK(models_.GetVersion("default", "-", Get(second).outputs.model_alias));
}

}  // namespace
}  // namespace crossover::scheduler
