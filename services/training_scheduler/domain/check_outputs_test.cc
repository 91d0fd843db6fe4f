#include "services/training_scheduler/domain/check_outputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/blob/directory_blob_store.h"
#include "common/id/random.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/leasing.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

class CheckOutputsTest : public ::testing::Test {
 protected:
  std::string Artifact(const std::string& kind) {
    crossover::testing::WriteFile(folder_ / kind / "file", kind);
    return *blobs_->PutFolder(kind, folder_ / kind);
  }

  crossover::testing::TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<BlobStore> blobs_ = *NewDirectoryBlobStore(
      {.root = folder_ / "blobs", .reserve_bytes = 0, .sync = false}, clock_);
};

TEST_F(CheckOutputsTest, AnArtifactOfAnotherKindIsNamedWithItsField) {
  const absl::Status adapter = CheckOutputs(*blobs_, {.adapter_digest = Artifact("checkpoint")});
  EXPECT_THAT(adapter, HasReasonThat("FIELD_INVALID"));
  EXPECT_EQ(DetailOf(adapter).violations.at(0).field, "success.adapter");
  EXPECT_THAT(adapter, StatusIs(absl::StatusCode::kInvalidArgument,
                                HasSubstr("kind 'checkpoint'; must be of kind adapter")));
  const absl::Status artifact =
      CheckOutputs(*blobs_, {.adapter_digest = "", .artifact_digest = Artifact("dataset")});
  EXPECT_EQ(DetailOf(artifact).violations.at(0).field, "success.artifact");
}

TEST_F(CheckOutputsTest, WhatJobsMakeAndWhatIsNotKnownHereIsTaken) {
  EXPECT_OK(CheckOutputs(*blobs_, {.adapter_digest = Artifact("adapter")}));
  EXPECT_OK(CheckOutputs(*blobs_, {.adapter_digest = "", .artifact_digest = Artifact("export")}));
  EXPECT_OK(CheckOutputs(*blobs_, {.adapter_digest = "", .artifact_digest = Artifact("adapter")}));
  EXPECT_OK(CheckOutputs(*blobs_, {.adapter_digest = *blobs_->PutBytes("plain")}));
  EXPECT_OK(CheckOutputs(*blobs_, {.adapter_digest = "sha256:elsewhere"}));
  EXPECT_OK(CheckOutputs(*blobs_, {}));
}

TEST_F(CheckOutputsTest, AJobIsNotCompletedWithIt) {
  FakeRandom random;
  FakeModelStore models(clock_);
  FakeJobStore jobs(clock_, models);
  metrics::Registry registry("scheduler");
  SchedulerMetrics metrics(registry);
  Leasing leasing(jobs, random, clock_, metrics, {}, blobs_.get());
  Job job;
  job.id = "06bq3f00000000000000000000";
  job.project = "default";
  ASSERT_OK(jobs.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
    Validated validated;
    validated.base_model = "base";
    validated.inputs.base_digest = "sha256:base";
    return Accept(mine, validated, Dependencies::kMet, now, effects);
  }));
  ASSERT_OK_AND_ASSIGN(const std::optional<GrantedLease> lease,
                       leasing.TryLease({"worker", "worker-1", {}}));
  ASSERT_TRUE(lease.has_value());
  Outcome outcome;
  outcome.outputs.adapter_digest = Artifact("checkpoint");
  EXPECT_THAT(leasing.Complete(lease->token, outcome).status(), HasReasonThat("FIELD_INVALID"));
  EXPECT_EQ(jobs.Get(job.id)->state, JobState::kRunning);
  outcome.outputs.adapter_digest = Artifact("adapter");
  EXPECT_OK(leasing.Complete(lease->token, outcome).status());
  EXPECT_EQ(models.GetModel("default", "base-ft")->kind, ModelKind::kAdapter);
}

}  // namespace
}  // namespace crossover::scheduler
