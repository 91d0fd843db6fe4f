// That a model keeps its kind, whoever registers and at whatever time: on the fakes and on
// Postgres.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/pg_job_store.h"
#include "services/training_scheduler/storage/pg_model_store.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;

class ModelKindsConformance : public ::testing::TestWithParam<const char*> {
 protected:
  ModelKindsConformance() {
    if (std::string(GetParam()) == "Fake") {
      auto models = std::make_unique<FakeModelStore>(SystemClock());
      jobs_ = std::make_unique<FakeJobStore>(SystemClock(), *models);
      models_ = std::move(models);
    } else {
      database_ = std::make_unique<crossover::testing::PgDatabase>(
          std::vector<pg::SchemaMigrations>{Migrations()});
      pool_ = database_->NewPool("scheduler");
      models_ = std::make_unique<PgModelStore>(*pool_);
      jobs_ = std::make_unique<PgJobStore>(*pool_, logger_);
    }
  }

  static ModelVersion VersionOf(const std::string& model, ModelKind kind,
                                const std::string& digest) {
    ModelVersion version;
    version.project = "default";
    version.model = model;
    version.kind = kind;
    version.digest = digest;
    if (kind != ModelKind::kBase) version.base_digest = "sha256:b";
    version.alias = model;
    return version;
  }

  // A job that has made this.
  Job JobThatMade(JobKind kind, const ModelVersion& version) {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    job.kind = kind;
    job.base_model = "smollm2";
    const auto nothing = [](Job&, absl::Time, Effects&) { return absl::OkStatus(); };
    EXPECT_OK(jobs_->Insert(job, {}, nothing));
    const absl::StatusOr<Job> made =
        jobs_->Update(job.id, [&](Job& mine, absl::Time, Effects& effects) {
          mine.outputs.model_version = "as it was";
          effects.models.push_back(version);
          return absl::OkStatus();
        });
    EXPECT_OK(made);
    return made.ok() ? *jobs_->Get(job.id) : Job();
  }

  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
  FakeLogger logger_;
  std::unique_ptr<crossover::testing::PgDatabase> database_;
  std::unique_ptr<pg::Pool> pool_;
  std::unique_ptr<ModelStore> models_;
  std::unique_ptr<JobStore> jobs_;
};

TEST_P(ModelKindsConformance, AVersionOfAnotherKindIsRefusedAndItsRequestIsFree) {
  ASSERT_OK(models_->Register(VersionOf("m", ModelKind::kBase, "sha256:b")));
  const ModelVersion adapter = VersionOf("m", ModelKind::kAdapter, "sha256:a");
  const absl::Status refused = models_->Register(adapter, {"r-1", "hash"}).status();
  EXPECT_THAT(refused, HasReasonThat("RESOURCE_IN_USE"));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("of kind BASE")));
  EXPECT_EQ(models_->GetVersion("default", "", "m")->digest, "sha256:b");
  EXPECT_OK(models_->Register(VersionOf("n", ModelKind::kAdapter, "sha256:a"), {"r-1", "other"}));
}

TEST_P(ModelKindsConformance, OfTwoKindsAtOnceOneIsRegistered) {
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds; ++round) {
    const std::string model = absl::StrCat("m", round);
    std::vector<absl::Status> answers(2);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&, i] {
        const ModelKind kind = i == 0 ? ModelKind::kBase : ModelKind::kAdapter;
        answers[i] =
            models_->Register(VersionOf(model, kind, absl::StrCat("sha256:", round, i))).status();
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_NE(answers[0].ok(), answers[1].ok()) << answers[0] << " / " << answers[1];
    EXPECT_EQ(models_->ListVersions({.project = "default", .model = model})->size(), 1u);
  }
}

TEST_P(ModelKindsConformance, WhatAJobMadeLeavesABaseItsName) {
  ASSERT_OK(models_->Register(VersionOf("smollm2-ft", ModelKind::kBase, "sha256:b")));
  ModelVersion adapter = VersionOf("smollm2-ft", ModelKind::kAdapter, "sha256:a");
  adapter.alias = "ft:x";
  const Job job = JobThatMade(JobKind::kSft, adapter);
  ASSERT_GE(job.id.size(), 8u);
  const std::string model = absl::StrCat("smollm2-ft-", job.id.substr(job.id.size() - 8));
  EXPECT_EQ(job.outputs.model_version,
            absl::StrCat("projects/default/models/", model, "/versions/sha256:a"));
  EXPECT_EQ(models_->GetVersion("default", "-", "ft:x")->model, model);
  EXPECT_EQ(models_->GetModel("default", "smollm2-ft")->current_digest, "sha256:b");
}

TEST_P(ModelKindsConformance, WhatAJobMadeHasItsOwnNameIfItIsFree) {
  const Job job =
      JobThatMade(JobKind::kSft, VersionOf("smollm2-ft", ModelKind::kAdapter, "sha256:a"));
  EXPECT_EQ(job.outputs.model_version, "as it was");
  EXPECT_EQ(models_->GetModel("default", "smollm2-ft")->kind, ModelKind::kAdapter);
}

TEST_P(ModelKindsConformance, AnExportStandsBesideItsBaseInBothStores) {
  ASSERT_OK(models_->Register(VersionOf("smollm2", ModelKind::kBase, "sha256:b")));
  ModelVersion made = VersionOf("smollm2", ModelKind::kGguf, "sha256:g");
  made.alias.clear();
  JobThatMade(JobKind::kExport, made);
  EXPECT_EQ(models_->GetVersion("default", "smollm2", "sha256:g")->kind, ModelKind::kGguf);
  EXPECT_EQ(models_->GetVersion("default", "", "smollm2")->digest, "sha256:b");
}

INSTANTIATE_TEST_SUITE_P(Stores, ModelKindsConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace crossover::scheduler
