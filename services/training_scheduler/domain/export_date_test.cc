// An EXPORT job prints the date that its adapter was trained with.
#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/planner.h"

namespace crossover::scheduler {
namespace {

class ExportDateTest : public ::testing::Test {
 protected:
  // Of an export of an adapter that this job made.
  absl::StatusOr<std::string> DateOfExport(const JobId& source) {
    ModelVersion adapter;
    adapter.project = "default";
    adapter.model = "tuned";
    adapter.digest = "sha256:of-" + source;
    adapter.kind = ModelKind::kAdapter;
    adapter.base_digest = "sha256:base";
    adapter.source_job = source;
    EXPECT_OK(models_.Register(adapter));
    Job job;
    job.project = "default";
    job.kind = JobKind::kExport;
    job.spec.model_export = {adapter.digest, ExportFormat::kGgufF16};
    const absl::StatusOr<Plan> plan = planner_.Check(job);
    if (!plan.ok()) return plan.status();
    EXPECT_OK(ViolationsError(*plan));
    return plan->validated.resolved.template_date;
  }

  FakeClock clock_;
  FakeModelStore models_{clock_};
  FakeJobStore jobs_{clock_, models_};
  FakeDatasetCatalog datasets_;
  Planner planner_{jobs_, models_, datasets_, clock_};
};

TEST_F(ExportDateTest, ItIsTheTrainingsElseTheDefault) {
  Job training;
  training.id = "trained";
  training.project = "default";
  training.resolved.template_date = "2025-02-01";
  ASSERT_OK(jobs_.Insert(training, {}, [](Job&, absl::Time, Effects&) { return absl::OkStatus(); })
                .status());
  ASSERT_OK_AND_ASSIGN(const std::string trained, DateOfExport("trained"));
  EXPECT_EQ(trained, "2025-02-01");
  ASSERT_OK_AND_ASSIGN(const std::string imported, DateOfExport(""));
  EXPECT_EQ(imported, kDefaultTemplateDate);
  ASSERT_OK_AND_ASSIGN(const std::string removed, DateOfExport("removed"));
  EXPECT_EQ(removed, kDefaultTemplateDate);
}

}  // namespace
}  // namespace crossover::scheduler
