// Jobs that go on from an adapter.
#include "services/training_scheduler/domain/initial_adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/status_macros.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/planner.h"

namespace crossover::scheduler {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char kRows[] = "projects/default/datasets/clauses/versions/sha256:1";

class InitialAdapterTest : public ::testing::Test {
 protected:
  InitialAdapterTest() {
    Register("small", "sha256:base", ModelKind::kBase, "");
    Register("other", "sha256:other-base", ModelKind::kBase, "");
    Register("tuned", "sha256:tuned", ModelKind::kAdapter, "sha256:base");
    Register("foreign", "sha256:foreign", ModelKind::kAdapter, "sha256:other-base");
    datasets_.datasets[kRows] = {.train_rows = 2000, .validation_rows = 250};
    forms_.answer = AdapterForm{.rank = 8,
                                .alpha = 24,
                                .targets = {"q_proj", "v_proj"},
                                .layers = {2, 3},
                                .all_layers = false,
                                .dora = true};
  }

  void Register(const std::string& model, const std::string& digest, ModelKind kind,
                const std::string& base) {
    ModelVersion version;
    version.project = "default";
    version.model = model;
    version.digest = digest;
    version.kind = kind;
    version.base_digest = base;
    ASSERT_OK(models_.Register(version));
  }

  // A job that has recorded a checkpoint.
  void AddCheckpoint(const std::string& digest, const std::string& adapter) {
    Job job;
    job.id = "trainer";
    job.project = "default";
    job.inputs.base_digest = "sha256:base";
    ASSERT_OK(jobs_.Insert(job, {}, [&](Job&, absl::Time, Effects& effects) {
      effects.checkpoints.push_back({.step = 5, .digest = digest, .adapter_digest = adapter});
      return absl::OkStatus();
    }));
  }

  Job GoingOnFrom(const std::string& digest) {
    Job job;
    job.project = "default";
    job.base_model = "small";
    job.dataset_version = kRows;
    job.spec.training.initial_adapter = digest;
    return job;
  }

  absl::StatusOr<Validated> Checked(const Job& job) {
    ASSIGN_OR_RETURN(Plan plan, planner_.Check(job));
    RETURN_IF_ERROR(ViolationsError(plan));
    return std::move(plan.validated);
  }

  FakeClock clock_;
  FakeModelStore models_{clock_};
  FakeJobStore jobs_{clock_, models_};
  FakeDatasetCatalog datasets_;
  FakeAdapterForms forms_;
  Planner planner_{jobs_, models_, datasets_, clock_, nullptr, 0, &forms_};
};

TEST_F(InitialAdapterTest, AnAdapterOfAnotherBaseIsRefusedWithBothBases) {
  const absl::Status refused = Checked(GoingOnFrom("sha256:foreign")).status();
  EXPECT_THAT(refused, HasReasonThat("ADAPTER_BASE_MISMATCH"));
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("sha256:other-base"), HasSubstr("'small' is sha256:base")));
}

TEST_F(InitialAdapterTest, WhatIsNoAdapterIsNone) {
  EXPECT_THAT(Checked(GoingOnFrom("sha256:other-base")), HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_THAT(Checked(GoingOnFrom("sha256:nothing")), HasReasonThat("MODEL_NOT_FOUND"));
}

TEST_F(InitialAdapterTest, ACheckpointMeansItsAdapter) {
  AddCheckpoint("sha256:state", "sha256:at-5");
  for (const char* digest : {"sha256:state", "sha256:at-5"}) {
    ASSERT_OK_AND_ASSIGN(const Validated validated, Checked(GoingOnFrom(digest)));
    EXPECT_EQ(validated.inputs.adapter_digest, "sha256:at-5");
    EXPECT_EQ(validated.resolved.initial_adapter, "sha256:at-5");
    EXPECT_EQ(forms_.seen, "sha256:at-5");
  }
}

TEST_F(InitialAdapterTest, WhatTheSpecLeavesOutIsTheAdapters) {
  ASSERT_OK_AND_ASSIGN(const Validated validated, Checked(GoingOnFrom("sha256:tuned")));
  const ResolvedSpec& resolved = validated.resolved;
  EXPECT_EQ(resolved.rank, 8);
  EXPECT_EQ(resolved.alpha, 24);
  EXPECT_THAT(resolved.targets, ElementsAre("q_proj", "v_proj"));
  EXPECT_THAT(resolved.techniques.layers, ElementsAre(2, 3));
  EXPECT_TRUE(resolved.techniques.dora);
  EXPECT_THAT(resolved.sources.at("adapter.r").rule, HasSubstr("goes on from"));
  // A fresh one has the rule's.
  ASSERT_OK_AND_ASSIGN(const Validated fresh, Checked(GoingOnFrom("")));
  EXPECT_EQ(fresh.resolved.rank, 16);
  EXPECT_FALSE(fresh.resolved.techniques.dora);
}

TEST_F(InitialAdapterTest, WhatTheSpecSaysOtherwiseIsRefusedWithBothValues) {
  Job job = GoingOnFrom("sha256:tuned");
  job.spec.training.rank = 16;
  job.spec.training.targets = {"v_proj", "q_proj"};  // the same ones
  job.spec.training.techniques.layers = {2};
  job.spec.training.techniques.dora = false;
  job.spec.training.alpha = 16;  // made up for
  const absl::Status refused = Checked(job).status();
  EXPECT_THAT(refused, HasReasonThat("ADAPTER_MISMATCH"));
  std::vector<std::string> fields;
  for (const FieldViolation& violation : DetailOf(refused).violations)
    fields.push_back(violation.field);
  EXPECT_THAT(fields, ElementsAre("spec.training.adapter.r", "spec.training.adapter.layers",
                                  "spec.training.adapter.dora"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is 16; the adapter to go on from has 8"));
}

TEST_F(InitialAdapterTest, TrialsOfASweepGoOnInItsForm) {
  Job job = GoingOnFrom("sha256:tuned");
  job.kind = JobKind::kSweep;
  job.spec.sweep.axes = {{"adapter.r", {"8", "16"}}};
  const absl::Status refused = Checked(job).status();
  EXPECT_THAT(refused, HasReasonThat("ADAPTER_MISMATCH"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("trial 2"));
  job.spec.sweep.axes = {{"epochs", {"1", "2"}}};
  ASSERT_OK_AND_ASSIGN(const Validated validated, Checked(job));
  EXPECT_EQ(validated.resolved.trials.at(1).spec.rank, 8);
}

TEST_F(InitialAdapterTest, FilesThatAreNoAdapterAreRefusedAndThoseThatCannotBeReachedWaited) {
  forms_.answer = Error(absl::StatusCode::kNotFound, "FILE_MISSING", "no adapter_config.json");
  const absl::Status refused = Checked(GoingOnFrom("sha256:tuned")).status();
  EXPECT_THAT(refused, HasReasonThat("FILE_MISSING"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no adapter_config.json"));
  forms_.answer = absl::UnavailableError("the disk is away");
  EXPECT_THAT(Checked(GoingOnFrom("sha256:tuned")), StatusIs(absl::StatusCode::kUnavailable));
  forms_.answer = absl::FailedPreconditionError("the base is not here");
  ASSERT_OK_AND_ASSIGN(const Validated blind, Checked(GoingOnFrom("sha256:tuned")));
  EXPECT_EQ(blind.resolved.rank, 16);
}

}  // namespace
}  // namespace crossover::scheduler
