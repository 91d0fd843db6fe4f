// What every ModelStore promises, tried on the fake and on Postgres.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/pg_model_store.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ModelStoreConformance : public ::testing::TestWithParam<const char*> {
 protected:
  ModelStoreConformance() {
    if (std::string(GetParam()) == "Fake") {
      store_ = std::make_unique<FakeModelStore>(SystemClock());
    } else {
      database_ = std::make_unique<crossover::testing::PgDatabase>(
          std::vector<pg::SchemaMigrations>{Migrations()});
      pool_ = database_->NewPool("scheduler");
      store_ = std::make_unique<PgModelStore>(*pool_);
    }
  }

  ModelVersion Version(const std::string& model, const std::string& digest,
                       const std::string& base = "", const std::string& alias = "") {
    ModelVersion version;
    version.project = "default";
    version.model = model;
    version.digest = digest;
    version.kind = base.empty() ? ModelKind::kBase : ModelKind::kAdapter;
    version.base_digest = base;
    version.alias = alias;
    version.bytes = 1000;
    version.hidden_size = 576;
    return version;
  }

  std::vector<std::string> Digests(const VersionQuery& query) {
    std::vector<std::string> digests;
    const auto listed = *store_->ListVersions(query);
    for (const ModelVersion& version : listed) {
      digests.push_back(version.digest);
    }
    return digests;
  }

  std::unique_ptr<crossover::testing::PgDatabase> database_;
  std::unique_ptr<pg::Pool> pool_;
  std::unique_ptr<ModelStore> store_;
};

TEST_P(ModelStoreConformance, RegisteringMakesTheModelAndIsRepeatable) {
  ASSERT_OK_AND_ASSIGN(ModelVersion first,
                       store_->Register(Version("smollm2", "sha256:b", "", "smollm2")));
  ASSERT_OK_AND_ASSIGN(ModelVersion again, store_->Register(Version("smollm2", "sha256:b")));
  EXPECT_EQ(first.ordinal, again.ordinal);
  EXPECT_EQ(again.alias, "smollm2");
  EXPECT_EQ(again.hidden_size, 576);
  ASSERT_OK_AND_ASSIGN(Model model, store_->GetModel("default", "smollm2"));
  EXPECT_EQ(model.kind, ModelKind::kBase);
  EXPECT_EQ(model.current_digest, "sha256:b");
  EXPECT_THAT(store_->GetModel("default", "other"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->GetModel("default", ""), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ModelStoreConformance, AVersionWithoutAnAliasGetsThatOfTheNextRegistration) {
  ASSERT_OK(store_->Register(Version("clauses", "sha256:a1", "sha256:b")));
  EXPECT_EQ(store_->Register(Version("clauses", "sha256:a1", "sha256:b", "ft:x"))->alias, "ft:x");
  EXPECT_EQ(store_->Register(Version("clauses", "sha256:a1", "sha256:b", "ft:y"))->alias, "ft:x");
  EXPECT_EQ(store_->GetVersion("default", "-", "ft:x")->digest, "sha256:a1");
}

TEST_P(ModelStoreConformance, ARequestIdRegistersOnce) {
  const ModelVersion version = Version("smollm2", "sha256:b");
  EXPECT_FALSE(store_->FindRegistered("default", {"r-1", "hash-a"})->has_value());
  ASSERT_OK(store_->Register(version, {"r-1", "hash-a"}));
  EXPECT_EQ((*store_->FindRegistered("default", {"r-1", "hash-a"}))->digest, "sha256:b");
  EXPECT_THAT(store_->FindRegistered("default", {"r-1", "hash-b"}),
              HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(store_->Register(Version("other", "sha256:c"), {"r-1", "hash-b"}),
              HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(store_->GetModel("default", "other"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(store_->Register(version, {"r-1", "hash-a"}));
  EXPECT_FALSE(store_->FindRegistered("other", {"r-1", "hash-a"})->has_value());
}

TEST_P(ModelStoreConformance, VersionsAreFoundByNameDigestOrAlias) {
  ASSERT_OK(store_->Register(Version("smollm2", "sha256:b", "", "smollm2")));
  ASSERT_OK(store_->Register(Version("clauses", "sha256:a1", "sha256:b", "ft:x")));
  EXPECT_EQ(store_->GetVersion("default", "clauses", "sha256:a1")->digest, "sha256:a1");
  EXPECT_EQ(store_->GetVersion("default", "-", "ft:x")->digest, "sha256:a1");
  EXPECT_EQ(store_->GetVersion("default", "", "sha256:b")->model, "smollm2");
  EXPECT_THAT(store_->GetVersion("default", "smollm2", "sha256:a1"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("sha256:a1")));
  EXPECT_THAT(store_->GetVersion("other", "-", "sha256:a1"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->GetVersion("default", "-", ""), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ModelStoreConformance, AnAliasBelongsToOneVersionAndMoves) {
  ASSERT_OK(store_->Register(Version("clauses", "sha256:a1", "sha256:b", "best")));
  ASSERT_OK(store_->Register(Version("clauses", "sha256:a2", "sha256:b", "best")));
  EXPECT_EQ(store_->GetVersion("default", "-", "best")->digest, "sha256:a2");
  ASSERT_OK(store_->SetAlias("default", "clauses", "sha256:a1", "best"));
  EXPECT_EQ(store_->GetVersion("default", "-", "best")->digest, "sha256:a1");
  EXPECT_EQ(store_->GetVersion("default", "-", "sha256:a2")->alias, "");
  ASSERT_OK(store_->SetAlias("default", "clauses", "sha256:a1", ""));
  EXPECT_THAT(store_->GetVersion("default", "-", "best"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->SetAlias("default", "clauses", "sha256:a9", "x"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ModelStoreConformance, VersionsAreListedNewestFirstFilteredAndPaged) {
  ASSERT_OK(store_->Register(Version("smollm2", "sha256:b")));
  ModelVersion tuned = Version("clauses", "sha256:a1", "sha256:b");
  tuned.dataset_version = "projects/default/datasets/d/versions/sha256:1";
  tuned.source_job = "j1";
  ASSERT_OK(store_->Register(tuned));
  ASSERT_OK_AND_ASSIGN(ModelVersion last,
                       store_->Register(Version("clauses", "sha256:a2", "sha256:b")));
  EXPECT_THAT(Digests({.project = "default"}), ElementsAre("sha256:a2", "sha256:a1", "sha256:b"));
  EXPECT_THAT(Digests({.project = "default", .before = last.ordinal, .limit = 1}),
              ElementsAre("sha256:a1"));
  EXPECT_THAT(Digests({.project = "default", .model = "clauses"}), SizeIs(2));
  EXPECT_THAT(Digests({.project = "default", .kind = ModelKind::kBase}), ElementsAre("sha256:b"));
  EXPECT_THAT(Digests({.project = "default", .dataset_version = tuned.dataset_version}),
              ElementsAre("sha256:a1"));
  EXPECT_THAT(Digests({.project = "default", .source_job = "j1"}), ElementsAre("sha256:a1"));
  EXPECT_THAT(Digests({.project = "other"}), SizeIs(0));
}

TEST_P(ModelStoreConformance, ABaseWithAdaptersCannotBeDeletedAndTheLastVersionTakesItsModelAlong) {
  ASSERT_OK(store_->Register(Version("smollm2", "sha256:b")));
  ASSERT_OK(store_->Register(Version("clauses", "sha256:a1", "sha256:b")));
  const absl::Status refused = store_->DeleteVersion("default", "smollm2", "sha256:b");
  EXPECT_THAT(refused, HasReasonThat("RESOURCE_IN_USE"));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("clauses")));
  EXPECT_OK(store_->DeleteVersion("default", "clauses", "sha256:a1"));
  EXPECT_THAT(store_->GetModel("default", "clauses"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(store_->DeleteVersion("default", "smollm2", "sha256:b"));
  EXPECT_THAT(store_->DeleteVersion("default", "smollm2", "sha256:b"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ModelStoreConformance, ModelsAreListedBySlugAndCanBeLabelled) {
  ASSERT_OK(store_->Register(Version("b-model", "sha256:1")));
  ASSERT_OK(store_->Register(Version("a-model", "sha256:2")));
  ASSERT_OK_AND_ASSIGN(std::vector<Model> models, store_->ListModels("default", "", 10));
  ASSERT_THAT(models, SizeIs(2));
  EXPECT_EQ(models[0].model, "a-model");
  ASSERT_OK_AND_ASSIGN(models, store_->ListModels("default", "a-model", 10));
  ASSERT_THAT(models, SizeIs(1));
  models[0].labels = {{"k", "v"}};
  models[0].display_name = "B";
  ASSERT_OK_AND_ASSIGN(Model updated, store_->UpdateModel(models[0]));
  EXPECT_EQ(updated.display_name, "B");
  EXPECT_EQ(updated.labels.at("k"), "v");
}

INSTANTIATE_TEST_SUITE_P(Stores, ModelStoreConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace crossover::scheduler
