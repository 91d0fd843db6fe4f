#include "services/training_scheduler/domain/leasing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/housekeeper.h"
#include "services/training_scheduler/domain/lease_queue.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class LeasingTest : public ::testing::Test {
 protected:
  JobId Add() {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    job.base_model = "base";
    absl::StatusOr<Job> added =
        jobs_.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
          Validated validated;
          validated.base_model = "base";
          validated.resolved.steps = 100;
          validated.inputs.base_digest = "sha256:base";
          return Accept(mine, validated, Dependencies::kMet, now, effects);
        });
    EXPECT_OK(added);
    return added->id;
  }

  GrantedLease Lease(const std::string& worker) {
    absl::StatusOr<std::optional<GrantedLease>> granted =
        leasing_.TryLease({worker, worker + "-1", {}});
    EXPECT_OK(granted);
    EXPECT_TRUE(granted->has_value());
    return granted->value();
  }

  void LetExpire(const JobId& id) {
    clock_.Advance(options_.ttl + absl::Seconds(1));
    EXPECT_OK(jobs_.Update(id, [&](Job& job, absl::Time now, Effects& effects) {
      return Expire(job, options_.retry, now, effects);
    }));
  }

  Job Get(const JobId& id) { return *jobs_.Get(id); }

  Outcome Success() {
    Outcome outcome;
    outcome.outputs.adapter_digest = "sha256:adapter";
    return outcome;
  }

  Outcome Failure(ErrorClass error_class) {
    Outcome outcome;
    outcome.error = JobError{error_class, "SOME_REASON", "something broke", "", ""};
    return outcome;
  }

  LeaseOptions options_;
  FakeClock clock_;
  FakeRandom random_;
  UuidGenerator ids_{clock_, random_};
  FakeModelStore models_{clock_};
  FakeJobStore jobs_{clock_, models_};
  metrics::Registry registry_{"scheduler"};
  SchedulerMetrics metrics_{registry_};
  Leasing leasing_{jobs_, random_, clock_, metrics_, options_};
};

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

TEST_F(LeasingTest, AnUrgentJobTakesThePlaceOfOneThatIsNotAtNoCostToIt) {
  ASSERT_OK(leasing_.Saw({"w", "w-1", {}}));
  const JobId slow = Add();
  const GrantedLease lease = Lease("w");
  const JobId urgent = Add();
  ASSERT_OK(jobs_.Update(urgent, [](Job& job, absl::Time, Effects&) {
    job.priority = kPreemptionGap;
    return absl::OkStatus();
  }));
  FakeDatasetCatalog datasets;
  Planner planner(jobs_, models_, datasets, clock_);
  Scheduler scheduler(jobs_, planner, ids_);
  Housekeeper housekeeper(jobs_, scheduler, leasing_, metrics_, clock_);
  ASSERT_OK(housekeeper.Pass());  // it has not waited long enough
  EXPECT_EQ(leasing_.Heartbeat(lease.token, {.worker_seq = 1})->directive, Directive::kContinue);
  clock_.Advance(kPreemptionWait);
  ASSERT_OK(housekeeper.Pass());
  EXPECT_EQ(leasing_.Heartbeat(lease.token, {.worker_seq = 2})->directive, Directive::kRelease);
  ASSERT_OK(leasing_.RecordCheckpoint(lease.token, {.step = 7, .digest = "sha256:x"}));
  ASSERT_OK(leasing_.Release(lease.token, ReleaseReason::kPreempted));
  EXPECT_EQ(Lease("w").job.id, urgent);
  EXPECT_EQ(Get(slow).state, JobState::kQueued);
  EXPECT_EQ(Get(slow).lease_loss_count, 0);
  EXPECT_EQ(Get(slow).last_checkpoint_step, 7);
}

TEST_F(LeasingTest, EarlierCheckpointsComeWithTheLastOne) {
  const JobId id = Add();
  const GrantedLease first = Lease("a");
  EXPECT_THAT(first.earlier, ::testing::IsEmpty());
  for (const int64_t step : {4, 8, 12}) {
    ASSERT_OK(leasing_.RecordCheckpoint(
        first.token, {.step = step, .digest = absl::StrCat("sha256:first-", step)}));
  }
  LetExpire(id);
  const GrantedLease second = Lease("a");
  EXPECT_EQ(second.resume->step, 12);
  ASSERT_EQ(second.earlier.size(), 2u);
  EXPECT_EQ(second.earlier[0].digest, "sha256:first-8");
  EXPECT_EQ(second.earlier[1].digest, "sha256:first-4");
  // A new epoch went on from step 4: what it writes is later than step 8 of the epoch before.
  ASSERT_OK(leasing_.RecordCheckpoint(second.token, {.step = 6, .digest = "sha256:second-6"}));
  ASSERT_OK(leasing_.RecordCheckpoint(second.token, {.step = 7, .digest = "sha256:second-7"}));
  LetExpire(id);
  const GrantedLease third = Lease("a");
  EXPECT_EQ(third.resume->digest, "sha256:second-7");
  ASSERT_GE(third.earlier.size(), 1u);
  EXPECT_EQ(third.earlier[0].digest, "sha256:second-6");
}

TEST_F(LeasingTest, AfterADamagedCheckpointTheNewEpochsCheckpointsCount) {
  const JobId id = Add();
  const GrantedLease first = Lease("a");
  for (const int64_t step : {4, 8}) {
    ASSERT_OK(leasing_.RecordCheckpoint(
        first.token, {.step = step, .digest = absl::StrCat("sha256:first-", step)}));
  }
  LetExpire(id);
  // Step 8 cannot be read, so this worker starts anew.
  const GrantedLease second = Lease("a");
  EXPECT_EQ(second.resume->digest, "sha256:first-8");
  ASSERT_OK(leasing_.RecordCheckpoint(second.token, {.step = 4, .digest = "sha256:second-4"}));
  ASSERT_OK(leasing_.RecordCheckpoint(second.token, {.step = 4, .digest = "sha256:repeat"}));
  LetExpire(id);
  const GrantedLease third = Lease("a");
  EXPECT_EQ(third.resume->step, 4);
  EXPECT_EQ(third.resume->digest, "sha256:second-4");
  ASSERT_OK_AND_ASSIGN(std::vector<Checkpoint> checkpoints, jobs_.Checkpoints(id));
  EXPECT_EQ(checkpoints.at(0).digest, "sha256:second-4");
  EXPECT_EQ(checkpoints.at(0).epoch, 2);
}

TEST_F(LeasingTest, TheLastThreeTheBestAndThePinnedCheckpointsAreKeptAndTheOthersReleased) {
  const JobId id = Add();
  const GrantedLease lease = Lease("a");
  std::vector<std::string> released;
  const auto record = [&](int64_t step, double loss) {
    Checkpoint checkpoint{.step = step, .digest = absl::StrCat("sha256:c", step)};
    checkpoint.adapter_digest = absl::StrCat("sha256:a", step);
    checkpoint.metrics = {{"valid_loss", loss}};
    ASSERT_OK_AND_ASSIGN(RecordedCheckpoint recorded,
                         leasing_.RecordCheckpoint(lease.token, checkpoint));
    released.insert(released.end(), recorded.released.begin(), recorded.released.end());
  };
  record(1, 5);
  ASSERT_OK(jobs_.PinCheckpoint(id, 1, true));
  record(2, 1);
  for (const int64_t step : {3, 4, 5, 6}) record(step, 2);
  std::vector<int64_t> kept;
  const std::vector<Checkpoint> checkpoints = *jobs_.Checkpoints(id);
  for (const Checkpoint& checkpoint : checkpoints) kept.push_back(checkpoint.step);
  EXPECT_THAT(kept, ElementsAre(1, 2, 4, 5, 6));
  EXPECT_THAT(released, ElementsAre("sha256:a3", "sha256:c3"));
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

TEST_F(LeasingTest, EqualBytesOfTwoJobsAreOneVersionWhoseAliasBothTell) {
  const JobId first = Add();
  const JobId second = Add();
  ASSERT_OK(leasing_.Complete(Lease("a").token, Success()));
  ASSERT_OK(leasing_.Complete(Lease("a").token, Success()));
  EXPECT_EQ(Get(first).outputs.model_alias, Get(second).outputs.model_alias);
  EXPECT_OK(models_.GetVersion("default", "-", Get(second).outputs.model_alias));
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

TEST_F(LeasingTest, TheHousekeeperReapsAtOnceAndAsksASilentCatalogueOnce) {
  struct SilentCatalogue final : DatasetCatalog {
    absl::StatusOr<DatasetFacts> Find(const std::string&) override {
      ++asked;
      return absl::UnavailableError("no answer");
    }
    int asked = 0;
  } catalogue;
  Planner planner(jobs_, models_, catalogue, clock_);
  Scheduler scheduler(jobs_, planner, ids_);
  Housekeeper housekeeper(jobs_, scheduler, leasing_, metrics_, clock_);
  for (int i = 0; i < 3; ++i) {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    ASSERT_OK(jobs_.Insert(job, {}, [](Job&, absl::Time, Effects&) { return absl::OkStatus(); }));
  }
  const JobId id = Add();
  Lease("w");
  clock_.Advance(options_.ttl + absl::Seconds(1));
  ASSERT_OK(housekeeper.Pass());
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_EQ(catalogue.asked, 1);
}

class KeepingCaller final : public LeaseCaller {
 public:
  KeepingCaller(std::vector<Result>& results, bool& there) : results_(results), there_(there) {}
  bool Gone() override { return gone; }
  bool Take(Result result) override {
    results_.push_back(std::move(result));
    return there_;
  }
  bool gone = false;

 private:
  std::vector<Result>& results_;
  bool& there_;
};

class LeaseQueueTest : public LeasingTest {
 protected:
  std::shared_ptr<KeepingCaller> Keep() {
    return std::make_shared<KeepingCaller>(results_, there_);
  }

  LeaseQueue queue_{leasing_, clock_};
  std::vector<LeaseQueue::Result> results_;
  bool there_ = true;
};

TEST_F(LeaseQueueTest, NothingIsClaimedForACallerWhoIsKnownToHaveLeft) {
  auto caller = Keep();
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), caller);
  caller->gone = true;
  const JobId id = Add();
  queue_.Pump();
  EXPECT_EQ(Get(id).lease_epoch, 0);
  EXPECT_EQ(queue_.waiting(), 0u);
}

TEST_F(LeaseQueueTest, AWaitingWorkerGetsTheJobThatComes) {
  queue_.Lease({"w", "i", {}}, absl::Seconds(60), Keep());
  EXPECT_EQ(queue_.Pump(), absl::Seconds(60));
  EXPECT_TRUE(results_.empty());
  const JobId id = Add();
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ((*results_[0])->job.id, id);
}

TEST_F(LeaseQueueTest, WorkersThatWaitTogetherShareAJobAndLoseItTogether) {
  LeaseRequest request{"a", "a-1", {}};
  request.capabilities.gang = 2;
  queue_.Lease(request, absl::Seconds(60), Keep());
  request.worker = "b";
  request.incarnation = "b-1";
  request.rendezvous = "b:7000";
  const JobId id = Add();
  ASSERT_OK(jobs_.Update(id, [](Job& job, absl::Time, Effects&) {
    job.requirements.gang_size = 2;
    return absl::OkStatus();
  }));
  queue_.Pump();
  EXPECT_TRUE(results_.empty());  // one alone does not get it
  queue_.Lease(request, absl::Seconds(60), Keep());
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(2));
  const GrantedLease* ranks[2] = {};
  for (const LeaseQueue::Result& result : results_) {
    const GrantedLease& lease = result->value();
    EXPECT_EQ(lease.job.id, id);
    EXPECT_EQ(lease.gang->size, 2);
    EXPECT_EQ(lease.gang->rendezvous, "b:7000");
    ranks[lease.gang->rank] = &lease;
  }
  ASSERT_NE(ranks[0], nullptr);
  ASSERT_NE(ranks[1], nullptr);
  const LeaseToken leader = ranks[0]->token, other = ranks[1]->token;
  EXPECT_EQ(Get(id).lease->worker, "b");  // it has an address, so it leads

  // Rank 0 alone writes; the lease lasts as long as both are heard of.
  EXPECT_OK(leasing_.RecordCheckpoint(leader, {.step = 3, .digest = "sha256:c"}));
  EXPECT_THAT(leasing_.RecordCheckpoint(other, {.step = 4, .digest = "sha256:d"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(leasing_.Complete(other, Success()), StatusIs(absl::StatusCode::kInvalidArgument));
  clock_.Advance(options_.ttl - absl::Seconds(1));
  EXPECT_OK(leasing_.Heartbeat(leader, {.worker_seq = 1}));
  EXPECT_EQ(Get(id).lease->expire_time, clock_.Now() + absl::Seconds(1));
  EXPECT_OK(leasing_.Heartbeat(other, {.worker_seq = 1}));
  EXPECT_EQ(Get(id).lease->expire_time, clock_.Now() + options_.ttl);

  ASSERT_OK_AND_ASSIGN(std::optional<Job> crashed, leasing_.Crashed("a", "a-1"));
  EXPECT_EQ(crashed->id, id);
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_EQ(Get(id).lease_loss_count, 1);
  EXPECT_THAT(leasing_.Heartbeat(leader, {.worker_seq = 2}), HasReasonThat("LEASE_LOST"));
}

class UnlikeWorkersTest : public LeaseQueueTest {
 protected:
  void Wait(const std::string& name, int64_t memory, int32_t gang = 2,
            std::vector<ComputeType> types = {}) {
    LeaseRequest request{name, name + "-1", {}};
    request.capabilities.compute_types = std::move(types);
    request.capabilities.gang = gang;
    request.capabilities.memory_bytes = memory;
    request.rendezvous = name + ":7000";
    queue_.Lease(request, absl::Seconds(60), Keep());
  }
  JobId AddShared(int32_t size, int64_t memory, std::optional<ComputeType> type = std::nullopt) {
    const JobId id = Add();
    EXPECT_OK(jobs_.Update(id, [&](Job& job, absl::Time, Effects&) {
      job.requirements.gang_size = size;
      job.needed_memory_bytes = memory;
      job.spec.training.compute_type = type;
      return absl::OkStatus();
    }));
    return id;
  }
  // Who shares it, rank 0 first.
  std::vector<std::string> Holders(const JobId& id) {
    std::vector<std::string> names;
    const Job job = Get(id);
    if (!job.lease.has_value()) return names;
    for (const GangMember& member : job.lease->gang) names.push_back(member.worker);
    return names;
  }
};

TEST_F(UnlikeWorkersTest, ShareAJobThatFitsTheSmaller) {
  Wait("small", 8);
  Wait("large", 16, 4);
  const JobId too_large = AddShared(2, 12);
  queue_.Pump();
  EXPECT_TRUE(results_.empty());
  const JobId id = AddShared(2, 8);
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(2));
  EXPECT_THAT(Holders(id), ElementsAre("small", "large"));
  EXPECT_EQ(Get(too_large).state, JobState::kQueued);
  for (const LeaseQueue::Result& result : results_) {
    EXPECT_EQ((*result)->job.id, id);
    EXPECT_EQ((*result)->gang->rendezvous, "small:7000");
  }
}

TEST_F(UnlikeWorkersTest, OneThatIsTooSmallIsLeftOutOfAJobThatTheOthersCanHold) {
  Wait("small", 8);
  Wait("large", 16);
  Wait("larger", 24, 3);
  const JobId id = AddShared(2, 12);
  queue_.Pump();
  EXPECT_THAT(Holders(id), ElementsAre("large", "larger"));
  EXPECT_EQ(queue_.waiting(), 1u);
  // Three are enough for this one, but they take gangs of two.
  const JobId of_three = AddShared(3, 1);
  Wait("a", 8);
  Wait("b", 8);
  queue_.Pump();
  EXPECT_THAT(Holders(of_three), ElementsAre());
}

TEST_F(UnlikeWorkersTest, OneThatSaysThatItHasFailedEndsTheLeaseOfAll) {
  Wait("a", 8);
  Wait("b", 8);
  const JobId id = AddShared(2, 8);
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(2));
  std::string follower;
  for (const LeaseQueue::Result& result : results_) {
    if ((*result)->gang->rank == 0) continue;
    follower = (*result)->job.lease->gang.at(1).worker;
    ASSERT_OK(leasing_.Release((*result)->token, ReleaseReason::kCrashed, "DISK_FULL: no room"));
  }
  // It would take the job again at once, and fail again.
  EXPECT_EQ(Get(id).state, JobState::kBlocked);
  EXPECT_EQ(Get(id).start_time, clock_.Now() + options_.retry.Delay(1));
  EXPECT_EQ(Get(id).state_reason, "tried again after a pause: worker " + follower +
                                      " gave the lease back: CRASHED: DISK_FULL: no room");
  EXPECT_EQ(Get(id).lease_loss_count, 1);
  EXPECT_THAT(leasing_.Heartbeat((*results_[0])->token, {}), HasReasonThat("LEASE_LOST"));
}

TEST_F(UnlikeWorkersTest, OnlyThoseThatComputeInOneTypeShareAJob) {
  using Types = std::vector<ComputeType>;
  const Types both = {ComputeType::kBfloat16, ComputeType::kFloat32};
  const Types single = {ComputeType::kFloat32};
  Wait("new", 8, 2, both);
  Wait("old", 8, 2, single);
  Wait("unknown", 8);
  const JobId id = AddShared(2, 1);
  queue_.Pump();
  EXPECT_THAT(Holders(id), ElementsAre()) << "they would compute it in two types";
  Wait("newer", 16, 2, both);
  queue_.Pump();
  EXPECT_THAT(Holders(id), ElementsAre("new", "newer"));
  EXPECT_EQ(queue_.waiting(), 2u);
  // Who can do otherwise does so for a job that asks for it.
  Wait("third", 8, 2, both);
  const JobId of_float32 = AddShared(2, 1, ComputeType::kFloat32);
  queue_.Pump();
  EXPECT_THAT(Holders(of_float32), UnorderedElementsAre("old", "third"));
}

TEST_F(UnlikeWorkersTest, TheFirstInRankGoesFirstAndToTheSmallestThatHoldIt) {
  Wait("largest", 32);
  Wait("small", 8);
  Wait("large", 16);
  Wait("medium", 12);
  const JobId first = AddShared(2, 10);
  const JobId second = AddShared(2, 4);
  queue_.Pump();
  EXPECT_THAT(Holders(first), ElementsAre("medium", "large"));
  EXPECT_THAT(Holders(second), ElementsAre("small", "largest"));
}

TEST_F(LeaseQueueTest, AWaitEndsEmptyWhenItsTimeIsOver) {
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), Keep());
  clock_.Advance(absl::Seconds(20));
  queue_.Pump();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_FALSE(results_[0]->has_value());
}

TEST_F(LeaseQueueTest, AJobGrantedToACallerWhoHasLeftGoesBackAtNoCost) {
  there_ = false;
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), Keep());
  const JobId id = Add();
  queue_.Pump();
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_EQ(Get(id).lease_loss_count, 0);
}

TEST_F(LeaseQueueTest, ClosingEndsAllWaits) {
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), Keep());
  queue_.Close();
  queue_.Lease({"w", "i", {}}, absl::Seconds(20), Keep());
  EXPECT_THAT(results_, SizeIs(2));
}

TEST_F(LeaseQueueTest, WorkersWithoutANameAreRefused) {
  queue_.Lease({"", "i", {}}, absl::ZeroDuration(), Keep());
  EXPECT_THAT(results_.at(0), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crossover::scheduler
