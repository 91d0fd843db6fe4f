#include "services/training_scheduler/domain/made_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crossover::scheduler {
namespace {

struct Made {
  Job job;
  ModelVersion version;
};

Made MadeBy(JobKind kind, const std::string& model = "base-ft") {
  Made made;
  made.job.id = "06bq3f00000000000012345678";
  made.job.kind = kind;
  made.job.outputs.model_version = "as it was";
  made.version.project = "p";
  made.version.model = model;
  made.version.digest = "sha256:a";
  made.version.kind = ModelKind::kAdapter;
  return made;
}

TEST(MadeModelTest, AFreeNameAndOneOfItsKindAreKept) {
  for (const std::optional<ModelKind> known :
       {std::optional<ModelKind>(), std::optional(ModelKind::kAdapter)}) {
    Made made = MadeBy(JobKind::kSft);
    NameMade(known, made.version, made.job);
    EXPECT_EQ(made.version.model, "base-ft");
    EXPECT_EQ(made.job.outputs.model_version, "as it was");
  }
}

TEST(MadeModelTest, TheNameOfABaseIsLeftToIt) {
  Made made = MadeBy(JobKind::kSft);
  NameMade(ModelKind::kBase, made.version, made.job);
  EXPECT_EQ(made.version.model, "base-ft-12345678");
  EXPECT_EQ(made.job.outputs.model_version, "projects/p/models/base-ft-12345678/versions/sha256:a");
  made = MadeBy(JobKind::kSft, std::string(63, 'a'));
  NameMade(ModelKind::kBase, made.version, made.job);
  EXPECT_EQ(made.version.model, std::string(54, 'a') + "-12345678");
}

TEST(MadeModelTest, AnExportStandsBesideItsBase) {
  Made made = MadeBy(JobKind::kExport, "base");
  NameMade(ModelKind::kBase, made.version, made.job);
  EXPECT_EQ(made.version.model, "base");
}

}  // namespace
}  // namespace crossover::scheduler
