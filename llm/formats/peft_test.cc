#include "llm/formats/peft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <numeric>

#include "common/status/error.h"
#include "llm/formats/atomic_file.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kQ[] = "model.layers.0.self_attn.q_proj";
constexpr char kDown[] = "model.layers.0.mlp.down_proj";

TEST(PeftConfigTest, DefaultsFillWhatIsAbsent) {
  const auto config =
      ParseLoraConfig(R"({"peft_type":"LORA","target_modules":["v_proj","q_proj"]})", "c");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->RankOf(kQ), 8);
  EXPECT_EQ(config->ScaleOf(kQ), 1.0);
  EXPECT_THAT(config->target_modules, ElementsAre("q_proj", "v_proj"));
}

TEST(PeftConfigTest, RsLoraAndPatternsChangeRankAndScale) {
  const auto config = ParseLoraConfig(
      R"({"peft_type":"LORA","r":16,"lora_alpha":32,"use_rslora":true,
          "rank_pattern":{"down_proj":4},"alpha_pattern":{"layers\\.[0-9]+\\.mlp\\.down_proj":2.5}})",
      "c");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ScaleOf(kQ), 32 / std::sqrt(16.0));
  EXPECT_EQ(config->RankOf(kDown), 4);
  EXPECT_EQ(config->ScaleOf(kDown), 2.5 / std::sqrt(4.0));
  EXPECT_EQ(config->RankOf("model.layers.0.mlp.xdown_proj"), 16);
}

TEST(PeftConfigTest, AnotherNameOfTheBaseChangesNothingElse) {
  const std::string ours = LoraConfigJson({.rank = 4, .base_model = "sha256:1"});
  EXPECT_EQ(WithBaseModel(ours, "c", "sha256:1").value(), ours);
  const auto named = WithBaseModel(
      R"({"peft_type":"LORA","target_modules":".*q_proj","exclude_modules":["x"],"r":4,
          "base_model_name_or_path":"/home/me/base","revision":"main"})",
      "c", "sha256:2");
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(ParseLoraConfig(*named, "c")->base_model, "sha256:2");
  for (const char* kept : {R"("target_modules": ".*q_proj")", R"("exclude_modules": [)",
                           R"("r": 4)", R"("revision": null)"})
    EXPECT_THAT(*named, HasSubstr(kept));
  EXPECT_TRUE(HasReason(WithBaseModel("{}", "c", "sha256:2").status(), "FORMAT_INVALID"));
}

TEST(PeftConfigTest, RefusesKeysThatChangeTheMathematicsByName) {
  for (const char* extra : {R"("bias":"all")", R"("lora_bias":true)", R"("fan_in_fan_out":true)",
                            R"("modules_to_save":["lm_head"])", R"("init_lora_weights":"pissa")",
                            R"("init_lora_weights":"olora")", R"("layer_replication":[[0,4]])",
                            R"("use_bdlora":{"x":1})", R"("some_future_key":3)",
                            R"("trainable_token_indices":[1])", R"("target_parameters":["x"])"}) {
    const std::string json = std::string(R"({"peft_type":"LORA",)") + extra + "}";
    const auto config = ParseLoraConfig(json, "adapter_config.json");
    EXPECT_EQ(config.status().code(), absl::StatusCode::kUnimplemented) << extra;
    const std::string key(extra + 1, std::string(extra).find('"', 1) - 1);
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("'" + key + "'"));
  }
}

TEST(PeftConfigTest, AcceptsUnknownKeysThatAreOffAndEveryKeyPeftWrites) {
  EXPECT_TRUE(
      ParseLoraConfig(
          R"({"peft_type":"LORA","future":null,"other":false,"third":{},"init_lora_weights":"gaussian"})",
          "c")
          .ok());
  const auto peft = ParseLoraConfig(R"({
    "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null,
    "base_model_name_or_path": "base", "bias": "none", "corda_config": null, "ensure_weight_tying": false, "eva_config": null,
    "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "kasa_config": null,
    "layer_replication": null, "layers_pattern": null, "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 8,
    "lora_bias": false, "lora_dropout": 0.0, "lora_ga_config": null, "megatron_config": null, "megatron_core": "megatron.core",
    "modules_to_save": null, "monteclora_config": null, "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16,
    "r": 8, "rank_pattern": {}, "revision": null, "target_modules": ["q_proj"], "target_parameters": null, "task_type": null,
    "trainable_token_indices": null, "use_bdlora": null, "use_dora": false, "use_qalora": false, "use_rslora": false,
    "velora_config": null})",
                                    "c");
  EXPECT_TRUE(peft.ok()) << peft.status();
}

TEST(PeftConfigTest, BrokenJsonAndWrongTypesNameTheField) {
  EXPECT_THAT(std::string(ParseLoraConfig("{", "c").status().message()), HasSubstr("c: "));
  EXPECT_FALSE(ParseLoraConfig(R"({"peft_type":"IA3"})", "c").ok());
  EXPECT_THAT(std::string(ParseLoraConfig(R"({"peft_type":"LORA","r":0})", "c").status().message()),
              HasSubstr("'r'"));
  EXPECT_THAT(std::string(ParseLoraConfig(R"({"peft_type":"LORA","rank_pattern":{"q":"x"}})", "c")
                              .status()
                              .message()),
              HasSubstr("rank_pattern.q"));
}

TEST(PeftConfigTest, EqualConfigsGiveEqualSortedText) {
  LoraConfig config{
      .rank = 16, .alpha = 32, .target_modules = {"v_proj", "q_proj"}, .base_model = "m"};
  const std::string text = LoraConfigJson(config);
  config.target_modules = {"q_proj", "v_proj"};
  EXPECT_EQ(text, LoraConfigJson(config));
  EXPECT_THAT(text, HasSubstr("\"lora_alpha\": 32,"));
  const auto back = ParseLoraConfig(text, "c");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->ScaleOf(kQ), 2.0);
  EXPECT_EQ(back->base_model, "m");
}

class PeftFolderTest : public ::testing::Test {
 protected:
  PeftFolderTest()
      : folder_(fs::path(::testing::TempDir()) / (std::to_string(getpid()) + "peft_adapter")),
        a_(2 * 4),
        b_(3 * 2) {
    fs::remove_all(folder_);
    std::iota(a_.begin(), a_.end(), 1.0f);
    std::iota(b_.begin(), b_.end(), 10.0f);
  }
  ~PeftFolderTest() override { fs::remove_all(folder_); }

  LoraWeights Layer(std::string module) const { return {std::move(module), 2, 4, 3, a_, b_}; }

  fs::path folder_;
  std::vector<float> a_, b_;
  LoraConfig config_{
      .rank = 2, .alpha = 4, .target_modules = {"q_proj", "down_proj"}, .base_model = "m"};
};

TEST_F(PeftFolderTest, WhatIsWrittenIsRead) {
  ASSERT_TRUE(WritePeftAdapter(folder_, config_, {Layer(kQ), Layer(kDown)}).ok());
  const auto adapter = ReadPeftAdapter(folder_);
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  ASSERT_EQ(adapter->modules.size(), 2u);
  const LoraModule& q = adapter->modules[1];
  EXPECT_EQ(q.module, kQ);
  EXPECT_EQ(q.rank(), 2);
  EXPECT_EQ(q.in(), 4);
  EXPECT_EQ(q.out(), 3);
  EXPECT_EQ(q.scale, 2.0);
  std::vector<float> b(6);
  ASSERT_TRUE(ToFloats(*q.b, b).ok());
  EXPECT_EQ(b, b_);
}

TEST_F(PeftFolderTest, EqualAdaptersHaveEqualBytes) {
  ASSERT_TRUE(WritePeftAdapter(folder_, config_, {Layer(kQ), Layer(kDown)}).ok());
  const std::string first = ReadTextFile(folder_ / kAdapterTensorsFile).value();
  ASSERT_TRUE(WritePeftAdapter(folder_, config_, {Layer(kDown), Layer(kQ)}).ok());
  EXPECT_EQ(ReadTextFile(folder_ / kAdapterTensorsFile).value(), first);
}

TEST_F(PeftFolderTest, HalfAPairAWrongRankOrAForeignTensorIsRefusedByName) {
  ASSERT_TRUE(WritePeftAdapter(folder_, config_, {Layer(kQ)}).ok());
  const auto write = [&](const std::string& name, std::vector<int64_t> shape) {
    const std::vector<float> data(6);
    return WriteSafetensors(folder_ / kAdapterTensorsFile,
                            {{name, Dtype::kF32, std::move(shape), std::as_bytes(std::span(data))}},
                            {});
  };
  ASSERT_TRUE(write("base_model.model.x.q_proj.lora_B.weight", {3, 2}).ok());
  EXPECT_THAT(std::string(ReadPeftAdapter(folder_).status().message()),
              HasSubstr("'x.q_proj' has lora_B"));
  ASSERT_TRUE(write("base_model.model.lm_head.weight", {3, 2}).ok());
  EXPECT_THAT(std::string(ReadPeftAdapter(folder_).status().message()),
              HasSubstr("lm_head.weight"));
  config_.rank = 5;
  ASSERT_TRUE(WritePeftAdapter(folder_, config_, {Layer(kQ)}).ok());
  EXPECT_THAT(std::string(ReadPeftAdapter(folder_).status().message()), HasSubstr("gives 5"));
}

TEST_F(PeftFolderTest, MissingFilesAreNamed) {
  EXPECT_TRUE(HasReason(ReadPeftAdapter(folder_).status(), "FILE_MISSING"));
  EXPECT_THAT(std::string(ReadPeftAdapter(folder_).status().message()),
              HasSubstr("adapter_config.json"));
  ASSERT_TRUE(WritePeftAdapter(folder_, config_, {Layer(kQ)}).ok());
  fs::rename(folder_ / kAdapterTensorsFile, folder_ / "adapter_model.bin");
  const absl::Status pickle = ReadPeftAdapter(folder_).status();
  EXPECT_TRUE(HasReason(pickle, "MODEL_UNSUPPORTED")) << pickle;
  EXPECT_THAT(std::string(pickle.message()), HasSubstr("adapter_model.bin is a pickle"));
}

}  // namespace
}  // namespace crossover::llm
