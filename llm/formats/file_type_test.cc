#include "llm/formats/file_type.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace crossover::llm {
namespace {

// Types by tensor name without the layer, and how many of each.
std::map<std::string, int> TypesOf(GgufFileType file, const ModelConfig& config,
                                   std::string_view suffix) {
  std::map<std::string, int> types;
  for (const WeightSpec& weight : WeightsOf(config)) {
    if (!weight.gguf_name.ends_with(suffix)) continue;
    ++types[std::string(NameOf(StoredTypeOf(file, weight, config)))];
  }
  return types;
}

using Types = std::map<std::string, int>;

ModelConfig Llama8B() {
  ModelConfig config;
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.layers = 32;
  config.heads = 32;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.vocab_size = 128256;
  config.tied_embeddings = false;
  return config;
}

// The published Llama-3.1-8B-Instruct-Q4_K_M.gguf has 16 attn_v and 16 ffn_down in Q6_K.
TEST(FileTypeTest, MixturesAreLlamaQuantizes) {
  const ModelConfig config = Llama8B();
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, ".attn_v.weight"),
            (Types{{"Q4_K", 16}, {"Q6_K", 16}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, ".ffn_down.weight"),
            (Types{{"Q4_K", 16}, {"Q6_K", 16}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, ".attn_q.weight"), (Types{{"Q4_K", 32}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, "output.weight"),
            (Types{{"Q4_K", 32}, {"Q6_K", 1}}));  // attn_output and output
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, "token_embd.weight"), (Types{{"Q4_K", 1}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ5_K_M, config, ".attn_v.weight"),
            (Types{{"Q5_K", 16}, {"Q6_K", 16}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_0, config, ".attn_v.weight"), (Types{{"Q4_0", 32}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ8_0, config, "output.weight"), (Types{{"Q8_0", 33}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ6_K, config, "norm.weight"), (Types{{"F32", 65}}));
  EXPECT_EQ(TypesOf(GgufFileType::kBf16, config, "output.weight"), (Types{{"BF16", 33}}));
}

TEST(FileTypeTest, SeventyBillionKeepFinerValues) {
  ModelConfig config = Llama8B();
  config.layers = 80;
  config.heads = 64;
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, ".attn_v.weight"),
            (Types{{"Q5_K", 40}, {"Q6_K", 40}}));
}

// SmolLM2-135M: 576 is no multiple of 256, so only ffn_down (1,536) can be made of K blocks.
TEST(FileTypeTest, RowsOfOtherLengthsFallBack) {
  ModelConfig config = Llama8B();
  config.hidden_size = 576;
  config.intermediate_size = 1536;
  config.layers = 30;
  config.tied_embeddings = true;
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, "token_embd.weight"), (Types{{"Q8_0", 1}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, ".attn_v.weight"),
            (Types{{"Q5_0", 16}, {"Q8_0", 14}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, ".ffn_down.weight"),
            (Types{{"Q4_K", 16}, {"Q6_K", 14}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ5_K_M, config, ".attn_q.weight"), (Types{{"Q5_1", 30}}));
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_0, config, "token_embd.weight"), (Types{{"Q8_0", 1}}));
  config.hidden_size = 40;
  EXPECT_EQ(TypesOf(GgufFileType::kQ4_K_M, config, ".attn_q.weight"), (Types{{"F16", 30}}));
}

TEST(FileTypeTest, NamesAreReadInEitherCase) {
  EXPECT_EQ(GgufFileTypeOf("q4_k_m"), GgufFileType::kQ4_K_M);
  EXPECT_EQ(GgufFileTypeOf("BF16"), GgufFileType::kBf16);
  EXPECT_EQ(GgufFileTypeOf("IQ2_XS"), std::nullopt);
  EXPECT_EQ(GgufFileTypeNames(), "F32, F16, BF16, Q8_0, Q4_0, Q4_K_M, Q5_K_M, Q6_K");
}

}  // namespace
}  // namespace crossover::llm
