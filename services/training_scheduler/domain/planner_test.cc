#include "services/training_scheduler/domain/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/scheduler.h"

namespace crossover::scheduler {
namespace {

class PlannerTest : public ::testing::Test {
 protected:
  PlannerTest() {
    ModelVersion base;
    base.project = "default";
    base.model = "base";
    base.alias = base.model;
    base.digest = "sha256:base";
    EXPECT_OK(models_.Register(base));
  }

  static Job OfBase() {
    Job job;
    job.project = "default";
    job.base_model = "base";
    job.dataset_version = "projects/default/datasets/d/versions/sha256:1";
    return job;
  }

  FakeClock clock_;
  FakeRandom random_;
  UuidGenerator ids_{clock_, random_};
  FakeModelStore models_{clock_};
  FakeJobStore jobs_{clock_, models_};
  FakeDatasetCatalog datasets_;
  Planner planner_{jobs_, models_, datasets_, clock_};
  Scheduler scheduler_{jobs_, planner_, ids_};
};

TEST_F(PlannerTest, WhatIsWrongIsRefusedThoughTheCatalogueCannotBeAsked) {
  datasets_.unavailable = true;
  Job job = OfBase();
  job.priority = 1000;
  job.spec.training.rank = 0;
  const absl::Status refused = scheduler_.Create(job, {}, false).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument));
  std::vector<std::string> fields;
  for (const FieldViolation& violation : DetailOf(refused).violations) {
    fields.push_back(violation.field);
  }
  EXPECT_THAT(fields, ::testing::ElementsAre("priority", "spec.training.adapter.r"));
  EXPECT_TRUE(jobs_.List({.project = "default", .filter = {}})->empty());
  ASSERT_OK_AND_ASSIGN(const Job waits, scheduler_.Create(OfBase(), {}, false));
  EXPECT_EQ(waits.state, JobState::kValidating);
}

TEST_F(PlannerTest, AnEstimateHasACostIfAPriceIsKnown) {
  Job job = OfBase();
  job.requirements.gang_size = 2;
  datasets_.datasets[job.dataset_version] = {.artifact_digest = "sha256:data", .train_rows = 2000};
  ASSERT_OK_AND_ASSIGN(const Plan unknown, planner_.Check(job));
  EXPECT_EQ(unknown.validated.estimate.cost_usd, 0);
  Planner priced(jobs_, models_, datasets_, clock_, nullptr, 1.5);
  ASSERT_OK_AND_ASSIGN(const Plan plan, priced.Check(job));
  EXPECT_GT(plan.validated.estimate.seconds, 0);
  EXPECT_DOUBLE_EQ(plan.validated.estimate.cost_usd,
                   plan.validated.estimate.seconds / 3600 * 1.5 * 2);
}

}  // namespace
}  // namespace crossover::scheduler
