#include "services/training_scheduler/domain/housekeeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/training_scheduler/domain/fake_pipeline_store.h"
#include "services/training_scheduler/domain/fake_webhook_store.h"
#include "services/training_scheduler/domain/leasing_fixture.h"

namespace crossover::scheduler {
namespace {

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
  ModelVersion base;
  base.project = "default";
  base.model = base.alias = "base";
  base.digest = "sha256:base";
  ASSERT_OK(models_.Register(base));
  for (int i = 0; i < 3; ++i) {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    job.base_model = "base";
    job.dataset_version = "projects/default/datasets/d/versions/sha256:1";
    ASSERT_OK(jobs_.Insert(job, {}, [](Job&, absl::Time, Effects&) { return absl::OkStatus(); }));
  }
  const JobId id = Add();
  Lease("w");
  clock_.Advance(options_.ttl + absl::Seconds(1));
  ASSERT_OK(housekeeper.Pass());
  EXPECT_EQ(Get(id).state, JobState::kQueued);
  EXPECT_EQ(catalogue.asked, 1);
}

TEST_F(LeasingTest, TheHousekeeperRemovesWhatHasBeenKeptForLongEnough) {
  FakeWebhookStore webhooks(clock_);
  FakePipelineStore pipelines(clock_);
  FakeJobStore jobs(clock_, models_, &webhooks);
  ASSERT_OK(webhooks.CreateEndpoint({.id = "e", .project = "default"}, {}));
  ASSERT_OK(pipelines.Insert({.id = "p", .project = "default"}, {}));
  ASSERT_OK(pipelines.Update("default", "p", [](Pipeline& pipeline) -> absl::StatusOr<bool> {
    pipeline.state = PipelineState::kSucceeded;
    return true;
  }));
  Job job;
  job.id = ids_.NextId();
  job.project = "default";
  ASSERT_OK(jobs.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
    return Reject(mine, "no", now, effects);
  }));
  ASSERT_OK_AND_ASSIGN(const auto claimed, webhooks.ClaimDelivery(absl::Minutes(1)));
  ASSERT_TRUE(
      *webhooks.FinishAttempt(claimed->delivery.id, 1, {.state = DeliveryState::kDelivered}));

  FakeDatasetCatalog datasets;
  Planner planner(jobs, models_, datasets, clock_);
  Scheduler scheduler(jobs, planner, ids_);
  Housekeeper keeper(jobs, scheduler, leasing_, metrics_, clock_, {.jobs = absl::Hours(1)},
                     {.webhooks = &webhooks, .pipelines = &pipelines});
  const auto left = [&] {
    return jobs.List({.project = "default"})->size() +
           webhooks.ListDeliveries({.project = "default"})->size() +
           pipelines.List({.project = "default"})->size();
  };
  ASSERT_OK(keeper.Pass());
  EXPECT_EQ(left(), 3u);
  clock_.Advance(absl::Hours(1));
  ASSERT_OK(keeper.Pass());
  EXPECT_EQ(left(), 0u);
}

}  // namespace
}  // namespace crossover::scheduler
