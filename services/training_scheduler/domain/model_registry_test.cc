#include "services/training_scheduler/domain/model_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/blob/directory_blob_store.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_model_store.h"

namespace crossover::scheduler {
namespace {

namespace fs = std::filesystem;
using crossover::testing::WriteFile;
using ::testing::HasSubstr;

class ModelRegistryTest : public ::testing::Test {
 protected:
  ModelRegistryTest() {
    WriteFile(gguf_, "GGUF");
    ModelVersion base;
    base.kind = ModelKind::kBase;
    base.architecture = "llama";
    base.tokenizer_digest = "sha256:tok";
    base.template_digest = "sha256:tpl";
    files_.files[gguf_.string()] = base;
    files_.files[gguf_.string()].bytes = 4;
    files_.folders[model_.string()] = {base, {"config.json", "weights"}};
    WriteFile(model_ / "config.json", "{}");
    WriteFile(model_ / "weights", "0123456789");
    WriteFile(model_ / "pickle.bin", "never stored");
    WriteFile(adapter_ / "tensors", "12345");
    files_.bases[adapter_.string()] = "org/name";
  }

  absl::StatusOr<ModelVersion> ImportFolder(const std::string& model = "base") {
    return registry_.Import({.project = "p", .model = model, .folder_path = model_});
  }
  absl::StatusOr<ModelVersion> ImportAdapter(const std::string& base,
                                             const std::string& model = "tuned") {
    return registry_.Import(
        {.project = "p", .model = model, .adapter_path = adapter_, .base_model = base});
  }
  // What stays after a collection of garbage an hour later.
  bool StaysWithoutOthers(const std::string& digest) {
    clock_.Advance(absl::Hours(1));
    EXPECT_OK(blobs_->CollectGarbage({}, absl::Minutes(1)));
    return *blobs_->Exists(digest);
  }

  crossover::testing::TempDir folder_;
  const fs::path gguf_ = folder_ / "model.gguf";
  const fs::path model_ = folder_ / "model";
  const fs::path adapter_ = folder_ / "adapter";
  FakeClock clock_{SystemClock().Now()};  // file times are the kernel's
  std::unique_ptr<BlobStore> blobs_ = *NewDirectoryBlobStore(
      {.root = folder_ / "blobs", .reserve_bytes = 0, .sync = false}, clock_);
  FakeModelStore store_{clock_};
  FakeModelFiles files_;
  ModelRegistry registry_{store_, *blobs_, files_, {}};
};

TEST_F(ModelRegistryTest, AFolderIsAnArtifactOfItsModelFilesAndTheSameFolderTheSameVersion) {
  ASSERT_OK_AND_ASSIGN(const ModelVersion version, ImportFolder());
  EXPECT_EQ(version.kind, ModelKind::kBase);
  EXPECT_EQ(version.alias, "base");
  EXPECT_EQ(version.bytes, 12);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, blobs_->ReadManifest(version.digest));
  EXPECT_EQ(manifest.kind, "model");
  EXPECT_EQ(manifest.files.size(), 2u);
  EXPECT_EQ(manifest.Find("pickle.bin"), nullptr);
  fs::copy(model_, folder_ / "copy");
  files_.folders[(folder_ / "copy").string()] = files_.folders[model_.string()];
  ASSERT_OK_AND_ASSIGN(
      const ModelVersion again,
      registry_.Import({.project = "p", .model = "base", .folder_path = folder_ / "copy"}));
  EXPECT_EQ(again.digest, version.digest);
  EXPECT_EQ(again.ordinal, version.ordinal);
  WriteFile(model_ / "weights", "9876543210");
  ASSERT_OK_AND_ASSIGN(const ModelVersion changed, ImportFolder());
  EXPECT_NE(changed.digest, version.digest);
}

TEST_F(ModelRegistryTest, AnImportedFolderIsKeptUntilItIsDeleted) {
  ASSERT_OK_AND_ASSIGN(const ModelVersion version, ImportFolder());
  EXPECT_TRUE(StaysWithoutOthers(version.digest));
  EXPECT_TRUE(*blobs_->Exists(DigestOf("0123456789")));
  ASSERT_OK(registry_.Delete("p", "base", version.digest));
  EXPECT_FALSE(StaysWithoutOthers(version.digest));
}

TEST_F(ModelRegistryTest, CheckingOnlyStoresNothing) {
  ASSERT_OK_AND_ASSIGN(
      const ModelVersion version,
      registry_.Import(
          {.project = "p", .model = "base", .folder_path = model_, .validate_only = true}));
  EXPECT_EQ(version.architecture, "llama");
  EXPECT_EQ(version.digest, "");
  EXPECT_THAT(blobs_->Exists(DigestOf("0123456789")), IsOkAndHolds(false));
  EXPECT_THAT(store_.GetModel("p", "base"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ModelRegistryTest, AFileThatVanishesWhileItIsCopiedRegistersNothing) {
  fs::remove(model_ / "weights");
  EXPECT_THAT(ImportFolder(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("model/weights")));
  EXPECT_THAT(store_.GetModel("p", "base"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ModelRegistryTest, AnAdapterIsStoredLikeATrainedOneOnItsBase) {
  ASSERT_OK_AND_ASSIGN(const ModelVersion base, ImportFolder());
  for (const std::string& named :
       {std::string("base"), base.digest, std::string("projects/p/models/base"),
        "projects/p/models/base/versions/" + base.digest}) {
    ASSERT_OK_AND_ASSIGN(const ModelVersion version, ImportAdapter(named));
    EXPECT_EQ(version.kind, ModelKind::kAdapter);
    EXPECT_EQ(version.alias, "tuned");
    EXPECT_EQ(version.base_digest, base.digest);
    EXPECT_EQ(version.architecture, "llama");
    EXPECT_EQ(version.tokenizer_digest, "sha256:tok");
    EXPECT_EQ(version.template_digest, "sha256:tpl");
    EXPECT_EQ(version.source_job, "");
    EXPECT_EQ(version.ordinal, 2) << "the same version each time";
    ASSERT_OK_AND_ASSIGN(const Manifest manifest, blobs_->ReadManifest(version.digest));
    EXPECT_EQ(manifest.kind, "adapter");
    EXPECT_EQ(manifest.TotalSize(), version.bytes);
    ASSERT_NE(manifest.Find("adapter_config.json"), nullptr);
    EXPECT_THAT(blobs_->ReadAll(manifest.Find("adapter_config.json")->sha256),
                IsOkAndHolds(HasSubstr(base.digest)));
  }
  // The base's files are those of the store, whatever has become of the imported ones.
  EXPECT_TRUE(fs::exists(files_.seen_base / "weights"));
  EXPECT_THAT(registry_.Delete("p", "base", base.digest), HasReasonThat("RESOURCE_IN_USE"));
}

TEST_F(ModelRegistryTest, TheBaseOfAnAdapterIsWhatItNamesByDigest) {
  EXPECT_THAT(ImportAdapter(""), HasReasonThat("FIELD_REQUIRED"));
  ASSERT_OK_AND_ASSIGN(const ModelVersion base, ImportFolder());
  EXPECT_THAT(ImportAdapter(""), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("'org/name', which is not the digest")));
  files_.bases[adapter_.string()] = base.digest;
  ASSERT_OK_AND_ASSIGN(const ModelVersion version, ImportAdapter(""));
  EXPECT_EQ(version.base_digest, base.digest);
  ASSERT_OK(registry_.Import({.project = "p", .model = "other", .gguf_path = gguf_}).status());
  EXPECT_THAT(ImportAdapter("other"), HasReasonThat("ADAPTER_BASE_MISMATCH"));
  files_.bases[adapter_.string()] = DigestOf("nobody's");
  EXPECT_THAT(ImportAdapter(""), HasReasonThat("BASE_MODEL_UNKNOWN"));
}

TEST_F(ModelRegistryTest, AnAdapterThatComesBackIsStillItsJobs) {
  ASSERT_OK(ImportFolder().status());
  ASSERT_OK_AND_ASSIGN(ModelVersion trained, ImportAdapter("base", "elsewhere"));
  const std::string digest = trained.digest;
  trained.model = "base-ft";
  trained.alias = "ft:base:p::1";
  trained.source_job = "j1";
  trained.dataset_version = "projects/p/datasets/d/versions/1";
  trained.task = "projects/p/tasks/t";
  ASSERT_OK(store_.Register(trained).status());
  ASSERT_OK(blobs_->Pin(digest, "projects/p/jobs/j1"));
  ASSERT_OK_AND_ASSIGN(const ModelVersion back, ImportAdapter("base", "back"));
  EXPECT_EQ(back.digest, digest);
  EXPECT_EQ(back.source_job, "j1");
  EXPECT_EQ(back.dataset_version, trained.dataset_version);
  EXPECT_EQ(back.task, trained.task);
  // Without it and the first one, the job's own is what it was.
  ASSERT_OK(registry_.Delete("p", "back", digest));
  ASSERT_OK(registry_.Delete("p", "elsewhere", digest));
  EXPECT_TRUE(StaysWithoutOthers(digest));
  ASSERT_OK(registry_.Delete("p", "base-ft", digest));
  EXPECT_FALSE(StaysWithoutOthers(digest));
}

TEST_F(ModelRegistryTest, AnAdapterNeedsABaseAndANameOfItsOwn) {
  EXPECT_THAT(ImportAdapter("base"), HasReasonThat("BASE_MODEL_UNKNOWN"));
  ASSERT_OK(ImportFolder().status());
  EXPECT_THAT(ImportAdapter("base", "base"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("of kind BASE")));
  ASSERT_OK(ImportAdapter("base").status());
  EXPECT_THAT(ImportAdapter("tuned", "more"), HasReasonThat("BASE_MODEL_UNKNOWN"));
  EXPECT_THAT(ImportFolder("tuned"), HasReasonThat("RESOURCE_IN_USE"));
  EXPECT_THAT(store_.GetVersion("p", "", "base"), StatusIs(absl::StatusCode::kOk))
      << "its alias is still its own";
}

TEST_F(ModelRegistryTest, AnAdapterThatDoesNotFitIsNotStored) {
  ASSERT_OK(ImportFolder().status());
  files_.misfit = Error(absl::StatusCode::kInvalidArgument, "ADAPTER_MISMATCH", "another base");
  EXPECT_THAT(ImportAdapter("base"), HasReasonThat("ADAPTER_MISMATCH"));
  EXPECT_THAT(blobs_->Exists(DigestOf("12345")), IsOkAndHolds(false));
}

}  // namespace
}  // namespace crossover::scheduler
