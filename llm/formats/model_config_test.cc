#include "llm/formats/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/error.h"
#include "common/testing/temp_dir.h"
#include "llm/formats/names.h"

namespace crossover::llm {
namespace {

using ::testing::HasSubstr;

constexpr char kLlama[] = R"({
  "architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
  "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192,
  "rms_norm_eps": 1e-5, "rope_theta": 100000, "tie_word_embeddings": true, "hidden_act": "silu"})";

TEST(ModelConfigTest, ReadsAnHfLlama) {
  const auto config = ModelConfig::FromHfJson(kLlama, "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->kv_heads, 3);
  EXPECT_EQ(config->rope_theta, 100000);
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_EQ(WeightsOf(*config).size(), 272u);
}

TEST(ModelConfigTest, ReadsThatOfAFolderAndNamesTheFile) {
  const crossover::testing::TempDir folder;
  const std::string path = (folder / "config.json").string();
  const absl::Status missing = ModelConfig::FromHfFolder(folder.path()).status();
  EXPECT_THAT(std::string(missing.message()), HasSubstr(path));
  crossover::testing::WriteFile(path, "[]");
  const absl::Status wrong = ModelConfig::FromHfFolder(folder.path()).status();
  EXPECT_THAT(std::string(wrong.message()), HasSubstr(path + ": is not a JSON object"));
  crossover::testing::WriteFile(path, kLlama);
  const auto config = ModelConfig::FromHfFolder(folder.path());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->layers, 30);
}

TEST(ModelConfigTest, ReadsQwenWithBiasesAndTransformersFiveRope) {
  const auto config = ModelConfig::FromHfJson(R"({
    "model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 100, "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    "sliding_window": 4096, "use_sliding_window": false})",
                                              "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kQwen2);
  EXPECT_TRUE(config->qkv_bias);
  EXPECT_EQ(config->rope_theta, 1000000);
  EXPECT_EQ(config->sliding_window, 0);
  EXPECT_EQ(config->kv_heads, 4);
  // Embedding, 2 x (2 norms + 7 matrices + 3 biases), norm, output.
  EXPECT_EQ(WeightsOf(*config).size(), 1 + 2 * 12 + 1 + 1u);
}

// The reference values are transformers' own: inv_freq without scaling divided by inv_freq with it.
TEST(ModelConfigTest, Llama3ScalingLeavesHighFrequenciesAndDividesLowOnes) {
  const std::vector<float> divisors = Llama3RopeDivisors(64, 500000, 32, 1, 4, 8192);
  ASSERT_EQ(divisors.size(), 32u);
  EXPECT_EQ(divisors.front(), 1.0f);
  EXPECT_EQ(divisors.back(), 32.0f);
  for (size_t j = 1; j < divisors.size(); ++j) EXPECT_GE(divisors[j], divisors[j - 1]);
}

TEST(ModelConfigTest, RefusesWhatItCannotComputeByName) {
  const auto other = ModelConfig::FromHfJson(R"({"architectures": ["GPT2LMHeadModel"]})", "c.json");
  EXPECT_EQ(other.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("GPT2LMHeadModel"));
  std::string yarn = kLlama;
  yarn.insert(yarn.size() - 1, R"(, "rope_scaling": {"rope_type": "yarn", "factor": 4})");
  EXPECT_THAT(std::string(ModelConfig::FromHfJson(yarn, "c.json").status().message()),
              HasSubstr("yarn"));
  EXPECT_THAT(std::string(ModelConfig::FromHfJson("[]", "c.json").status().message()),
              HasSubstr("c.json"));
  std::string bad = kLlama;
  bad.replace(bad.find("576"), 3, "\"x\"");
  EXPECT_THAT(std::string(ModelConfig::FromHfJson(bad, "c.json").status().message()),
              HasSubstr("hidden_size"));
}

// The same bounds as a GGUF file's: beyond them sizes multiply past 64 bits.
TEST(ModelConfigTest, HostileNumbersAreRefusedByName) {
  const auto with = [](const std::string& key, const std::string& value) {
    std::string json = kLlama;
    json.insert(json.size() - 1, ", \"" + key + "\": " + value);
    return ModelConfig::FromHfJson(json, "c.json").status();
  };
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size",
                          "num_attention_heads", "num_key_value_heads", "head_dim",
                          "max_position_embeddings", "sliding_window"}) {
    for (const char* value : {"0", "-1", "4294967297", "9223372036854775807",
                              "18446744073709551615", "1e9", "1.5", "\"7\"", "[]"}) {
      const absl::Status status = with(key, value);
      EXPECT_TRUE(HasReason(status, "FORMAT_INVALID")) << key << " = " << value << ": " << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("'") + key + "'"));
    }
  }
  for (const char* key : {"hidden_size", "intermediate_size", "vocab_size", "sliding_window"}) {
    EXPECT_TRUE(HasReason(with(key, "16777217"), "FORMAT_INVALID")) << key;
  }
  EXPECT_TRUE(HasReason(with("num_hidden_layers", "4097"), "FORMAT_INVALID"));
  EXPECT_TRUE(HasReason(with("num_attention_heads", "65538"), "FORMAT_INVALID"));
  EXPECT_TRUE(HasReason(with("head_dim", "65538"), "FORMAT_INVALID"));
  // Derived, not given: 2^24 / 1.
  std::string wide = kLlama;
  wide.insert(wide.size() - 1, R"(, "hidden_size": 16777216, "num_attention_heads": 1,
                                   "num_key_value_heads": 1)");
  EXPECT_TRUE(HasReason(ModelConfig::FromHfJson(wide, "c.json").status(), "FORMAT_INVALID"));
}

TEST(NamesTest, TranslateBothWays) {
  EXPECT_EQ(GgufNameOfHf("model.layers.12.self_attn.q_proj.bias"), "blk.12.attn_q.bias");
  EXPECT_EQ(HfNameOfGguf("blk.0.ffn_norm.weight"),
            "model.layers.0.post_attention_layernorm.weight");
  EXPECT_EQ(GgufNameOfHf("lm_head.weight"), "output.weight");
  EXPECT_EQ(HfNameOfGguf("output_norm.weight"), "model.norm.weight");
  EXPECT_EQ(GgufNameOfHf("model.layers.x.mlp.up_proj.weight"), std::nullopt);
  EXPECT_EQ(HfNameOfGguf("rope_freqs.weight"), std::nullopt);
  const auto config = ModelConfig::FromHfJson(kLlama, "config.json");
  for (const WeightSpec& weight : WeightsOf(*config)) {
    EXPECT_EQ(HfNameOfGguf(weight.gguf_name), weight.hf_name);
  }
}

TEST(NamesTest, OnlyLlamaPermutesQueriesAndKeys) {
  auto config = ModelConfig::FromHfJson(kLlama, "config.json").value();
  for (const WeightSpec& weight : WeightsOf(config)) {
    const bool q = weight.hf_name.find("q_proj") != std::string::npos;
    const bool k = weight.hf_name.find("k_proj") != std::string::npos;
    EXPECT_EQ(weight.permuted_heads, q ? 9 : k ? 3 : 0) << weight.hf_name;
  }
  EXPECT_THAT(LinearsOf(config, 0)[1].target, "k_proj");
  EXPECT_EQ(LinearsOf(config, 0)[1].out, 192);
}

}  // namespace
}  // namespace crossover::llm
