// Whole exports of a small model; tests/compat loads real ones with other programs.
#include "llm/export/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/testing/temp_dir.h"
#include "llm/chat/chat_template.h"
#include "llm/export/modelfile.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/hf_export.h"
#include "llm/formats/safetensors.h"
#include "llm/formats/testing_disk.h"
#include "llm/formats/testing_model.h"
#include "llm/lora/adapter.h"
#include "llm/model/weight_source.h"
#include "llm/tokenizer/byte_level.h"
#include "llm/tokenizer/hf_files.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kChatMl[] =
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// 256 bytes and ChatML's markers.
absl::Status AddTokenizer(GgufWriter& writer) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte)
    tokens.emplace_back(CharOfByte(static_cast<uint8_t>(byte)));
  for (const char* name : {"<|im_start|>", "<|im_end|>", "ab"}) tokens.emplace_back(name);
  RETURN_IF_ERROR(writer.AddString("general.name", "small"));
  RETURN_IF_ERROR(writer.AddString("tokenizer.ggml.model", "gpt2"));
  RETURN_IF_ERROR(writer.AddString("tokenizer.ggml.pre", "smollm"));
  RETURN_IF_ERROR(writer.AddStrings("tokenizer.ggml.tokens", tokens));
  std::vector<int32_t> types(tokens.size(), 1);
  types[256] = types[257] = 3;
  RETURN_IF_ERROR(writer.AddInts("tokenizer.ggml.token_type", types));
  RETURN_IF_ERROR(writer.AddStrings("tokenizer.ggml.merges", {"a b"}));
  RETURN_IF_ERROR(writer.AddUint32("tokenizer.ggml.eos_token_id", 257));
  return writer.AddString("tokenizer.chat_template", kChatMl);
}

class ExportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_ = SmallModel();
    config_.vocab_size = 259;  // "ab" is merged, so it has a token.
    const auto add = [](GgufWriter& writer) { return AddTokenizer(writer); };
    ASSERT_TRUE(WriteSmallModel(base_, config_, {}, add).ok());
    const LoraLayout layout(config_,
                            {{.layer = 0, .target = Target::kQ, .rank = 2, .scale = 4.0},
                             {.layer = 1, .target = Target::kDown, .rank = 2, .scale = 4.0}});
    const std::vector<float> values(layout.size(), 0.25f);
    ASSERT_TRUE(WriteAdapter(adapter_,
                             {.rank = 2, .alpha = 8, .target_modules = {"down_proj", "q_proj"}},
                             layout, values)
                    .ok());
  }

  absl::Status Export(const ExportFormat& format, const std::string& name) {
    return ExportAdapter(base_, adapter_, format, options_, folder_ / name);
  }

  static std::set<std::string> Files(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
    return names;
  }

  crossover::testing::TempDir folder_;
  const fs::path base_ = folder_ / "base.gguf";
  const fs::path adapter_ = folder_ / "adapter";
  ModelConfig config_;
  ExportOptions options_{.lineage = {{"crossover.adapter", "sha256:1"}}};
};

using Kind = ExportFormat::Kind;

TEST_F(ExportTest, EveryGgufTypeIsAModelWithTokenizerTemplateLineageAndModelfile) {
  for (const GgufFileType type :
       {GgufFileType::kF16, GgufFileType::kBf16, GgufFileType::kQ8_0, GgufFileType::kQ4_0,
        GgufFileType::kQ4_K_M, GgufFileType::kQ5_K_M, GgufFileType::kQ6_K}) {
    const std::string name(NameOf(type));
    const absl::Status status = Export({Kind::kGguf, type}, name);
    ASSERT_TRUE(status.ok()) << name << status;
    EXPECT_THAT(Files(folder_ / name), ElementsAre("Modelfile", "model.gguf"));
    const auto file = GgufFile::Open(folder_ / name / "model.gguf").value();
    EXPECT_TRUE(ModelConfig::FromGguf(*file).ok());
    EXPECT_EQ(file->GetUint("general.file_type").value(), static_cast<uint32_t>(type));
    EXPECT_EQ(file->GetString("crossover.adapter").value(), "sha256:1");
    EXPECT_EQ(file->GetString("tokenizer.chat_template").value(), kChatMl);
    EXPECT_TRUE(Tokenizer::FromGguf(*file).ok());
    const std::string modelfile = ReadTextFile(folder_ / name / "Modelfile").value();
    EXPECT_THAT(modelfile, HasSubstr("FROM ./model.gguf\n"));
    EXPECT_THAT(modelfile, HasSubstr("PARAMETER stop \"<|im_end|>\"\n"));
    EXPECT_THAT(modelfile, HasSubstr("# crossover.adapter: sha256:1\n"));
  }
}

TEST_F(ExportTest, ASafetensorsFolderIsReadBackAsTheSameModel) {
  options_.shard_bytes = 40'000;
  ASSERT_TRUE(Export({.kind = Kind::kSafetensors}, "hf").ok());
  const fs::path out = folder_ / "hf";
  const auto files = Files(out);
  for (const char* name :
       {"Modelfile", "chat_template.jinja", "config.json", "generation_config.json",
        "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"})
    EXPECT_TRUE(files.contains(name)) << name;
  const auto config = ModelConfig::FromHfJson(ReadTextFile(out / "config.json").value(), "c");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->vocab_size, config_.vocab_size);
  const auto theirs =
      Tokenizer::FromJson(ReadTextFile(out / "tokenizer.json").value(), "tokenizer.json");
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  const auto ours = Tokenizer::FromGguf(*GgufFile::Open(base_).value()).value();
  for (const char* text : {"ab 12 <|im_end|>", "\u00e9\n\n  x", ""})
    EXPECT_EQ((*theirs)->Encode(text), ours->Encode(text)) << text;
  EXPECT_EQ(ReadTextFile(out / "chat_template.jinja").value(), kChatMl);
  const auto generation =
      nlohmann::json::parse(ReadTextFile(out / "generation_config.json").value());
  EXPECT_EQ(generation["eos_token_id"], 257);
}

TEST_F(ExportTest, AnAdapterNamesItsBase) {
  ASSERT_TRUE(Export({.kind = Kind::kGgufAdapter}, "lora").ok());
  EXPECT_THAT(Files(folder_ / "lora"), ElementsAre("Modelfile", "adapter.gguf"));
  const auto file = GgufFile::Open(folder_ / "lora" / "adapter.gguf").value();
  EXPECT_EQ(file->tensors().size(), 4u);
  EXPECT_THAT(ReadTextFile(folder_ / "lora" / "Modelfile").value(),
              HasSubstr("FROM small\nADAPTER ./adapter.gguf\n"));
}

// Bases that are Hugging Face folders.
class FolderExportTest : public ExportTest {
 protected:
  // The model as a GGUF file and, in base_folder_, as a folder of two F32 shards.
  void WriteBases(const ModelConfig& config) {
    config_ = config;
    config_.vocab_size = 259;
    fs::remove_all(base_folder_);
    fs::create_directory(base_folder_);
    const auto add = [](GgufWriter& writer) { return AddTokenizer(writer); };
    ASSERT_TRUE(WriteSmallModel(base_, config_, {}, add).ok());
    WriteShards(*OpenWeights(base_.string()).value());
    const auto parts = Tokenizer::PartsOfGguf(*GgufFile::Open(base_).value()).value();
    Write("config.json", HfConfigJson(config_, {.ends = {257}}).value());
    Write("tokenizer.json", TokenizerJson(parts));
    Write("tokenizer_config.json", TokenizerConfigJson(parts, kChatMl, config_.context_length));
  }

  void Write(std::string_view name, std::string_view text) {
    crossover::testing::WriteFile(base_folder_ / name, text);
  }

  absl::Status ExportFolder(const ExportFormat& format, const std::string& name) {
    return ExportAdapter(base_folder_, adapter_, format, options_, folder_ / name);
  }

  std::shared_ptr<const GgufFile> Model(const std::string& name) {
    const auto file = GgufFile::Open(folder_ / name / "model.gguf");
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *file : nullptr;
  }

  std::string Text(const std::string& path) { return ReadTextFile(folder_ / path).value(); }

  const fs::path base_folder_ = folder_ / "base";

 private:
  void WriteShards(const WeightSource& source) {
    std::vector<std::vector<float>> data;
    std::vector<SafetensorsTensor> shards[2];
    nlohmann::json places;
    for (const WeightSpec& weight : WeightsOf(config_)) {
      const TensorRows rows = source.Rows(weight.gguf_name, weight.permuted_heads).value();
      std::vector<float>& values = data.emplace_back(rows.rows() * rows.columns());
      rows.Decode(0, rows.rows(), values.data());
      const int shard = static_cast<int>(data.size() % 2);
      shards[shard].push_back(
          {weight.hf_name, Dtype::kF32, weight.shape, std::as_bytes(std::span(values))});
      places[weight.hf_name] = "model-" + std::to_string(shard) + ".safetensors";
    }
    for (int shard : {0, 1}) {
      const std::string name = "model-" + std::to_string(shard) + ".safetensors";
      ASSERT_TRUE(WriteSafetensors(base_folder_ / name, shards[shard], {{"format", "pt"}}).ok());
    }
    Write("model.safetensors.index.json", nlohmann::json{{"weight_map", places}}.dump());
  }
};

TEST_F(FolderExportTest, EveryArchitectureGivesWhatItsGgufFileGives) {
  for (const Architecture architecture :
       {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3}) {
    for (const bool tied : {true, false}) {
      ModelConfig config = SmallModel(architecture);
      config.tied_embeddings = tied;
      WriteBases(config);
      for (const GgufFileType type :
           {GgufFileType::kF32, GgufFileType::kBf16, GgufFileType::kQ4_K_M}) {
        const std::string name(NameOf(type));
        fs::remove_all(folder_ / "theirs");
        fs::remove_all(folder_ / name);
        ASSERT_TRUE(Export({Kind::kGguf, type}, "theirs").ok());
        const absl::Status status = ExportFolder({Kind::kGguf, type}, name);
        ASSERT_TRUE(status.ok()) << status;
        const auto ours = Model(name), theirs = Model("theirs");
        EXPECT_EQ(ours->tensors().size(), theirs->tensors().size());
        for (const GgufTensor& tensor : theirs->tensors()) {
          const GgufTensor* mine = ours->FindTensor(tensor.name);
          ASSERT_NE(mine, nullptr) << tensor.name;
          EXPECT_EQ(mine->type, tensor.type) << tensor.name;
          EXPECT_TRUE(std::ranges::equal(mine->data, tensor.data)) << tensor.name;
        }
        EXPECT_TRUE(ModelConfig::FromGguf(*ours).ok());
        EXPECT_EQ(Text(name + "/Modelfile"), Text("theirs/Modelfile"));
      }
    }
  }
}

TEST_F(FolderExportTest, MetadataAreThoseOfAConvertedModel) {
  WriteBases(config_);
  const absl::Status status = ExportFolder({Kind::kGguf, GgufFileType::kQ8_0}, "q8");
  ASSERT_TRUE(status.ok()) << status;
  const auto ours = Model("q8"), base = GgufFile::Open(base_).value();
  for (const GgufMetadata& entry : base->metadata()) {
    if (entry.key == "general.name") continue;  // A folder has none.
    const GgufMetadata* mine = ours->FindMetadata(entry.key);
    ASSERT_NE(mine, nullptr) << entry.key;
    EXPECT_EQ(mine->type, entry.type) << entry.key;
    EXPECT_TRUE(std::ranges::equal(mine->encoded, entry.encoded)) << entry.key;
  }
  EXPECT_EQ(ours->GetUint("general.file_type").value(), 7u);
  EXPECT_EQ(ours->GetString("crossover.adapter").value(), "sha256:1");
  EXPECT_EQ(ours->GetUint("llama.rope.dimension_count").value(), 16u);
  EXPECT_EQ(ours->GetUint("llama.vocab_size").value(), 259u);
}

TEST_F(FolderExportTest, RopeScalingIsAFactorOrATensor) {
  WriteBases(config_);
  const std::string plain = Text("base/config.json");
  const auto divisors = [&](const std::string& scaling, const std::string& name) {
    nlohmann::json json = nlohmann::json::parse(plain);
    json["rope_scaling"] = nlohmann::json::parse(scaling);
    Write("config.json", json.dump());
    const absl::Status status = ExportFolder({Kind::kGguf, GgufFileType::kF16}, name);
    EXPECT_TRUE(status.ok()) << status;
    return ModelConfig::FromGguf(*Model(name)).value().rope_divisors;
  };
  EXPECT_EQ(divisors(R"({"rope_type": "linear", "factor": 2.5})", "linear"),
            std::vector<float>(8, 2.5f));
  // Parameters that no published model has.
  EXPECT_EQ(divisors(R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 2,
                         "high_freq_factor": 5, "original_max_position_embeddings": 64})",
                     "llama3"),
            Llama3RopeDivisors(16, 10000, 8, 2, 5, 64));
  const absl::Status folder = ExportFolder({.kind = Kind::kSafetensors}, "hf");
  ASSERT_TRUE(folder.ok()) << folder;
  EXPECT_EQ(nlohmann::json::parse(Text("hf/config.json"))["rope_scaling"]["low_freq_factor"], 2);

  ModelConfig qwen = SmallModel(Architecture::kQwen2);
  qwen.rope_divisors = Llama3RopeDivisors(16, 10000, 8, 1, 4, 8192);
  WriteBases(qwen);
  const absl::Status refused = ExportFolder({Kind::kGguf, GgufFileType::kF16}, "qwen");
  EXPECT_TRUE(HasReason(refused, "MODEL_UNSUPPORTED")) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("base/config.json"));
}

TEST_F(FolderExportTest, SafetensorsKeepTheFoldersOwnFiles) {
  WriteBases(config_);
  Write("special_tokens_map.json", "{\"a\": 1}");
  Write("generation_config.json", R"({"temperature": 0.6, "eos_token_id": 7})");
  nlohmann::json config = nlohmann::json::parse(Text("base/config.json"));
  config["quantization_config"] = {{"load_in_4bit", true}};
  config["torch_dtype"] = "float32";
  config["attention_dropout"] = 0.25;
  Write("config.json", config.dump());
  const absl::Status status = ExportFolder({.kind = Kind::kSafetensors}, "hf");
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(Export({.kind = Kind::kSafetensors}, "theirs").ok());
  EXPECT_EQ(Text("hf/model.safetensors"), Text("theirs/model.safetensors"));
  EXPECT_EQ(Text("hf/tokenizer.json"), Text("base/tokenizer.json"));
  EXPECT_EQ(Text("hf/special_tokens_map.json"), "{\"a\": 1}");
  EXPECT_EQ(Text("hf/Modelfile"), Text("theirs/Modelfile"));
  const auto merged = nlohmann::json::parse(Text("hf/config.json"));
  EXPECT_FALSE(merged.contains("quantization_config"));
  EXPECT_EQ(merged["torch_dtype"].get<std::string>(), "bfloat16");
  EXPECT_EQ(merged["attention_dropout"], 0.25);
  const auto generation = nlohmann::json::parse(Text("hf/generation_config.json"));
  EXPECT_EQ(generation["temperature"], 0.6);
  EXPECT_EQ(generation["eos_token_id"], 257);
}

TEST_F(FolderExportTest, AnAdapterIsTheOneOfTheGgufBase) {
  WriteBases(config_);
  const absl::Status status = ExportFolder({.kind = Kind::kGgufAdapter}, "ours");
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(Export({.kind = Kind::kGgufAdapter}, "theirs").ok());
  EXPECT_EQ(Text("ours/adapter.gguf"), Text("theirs/adapter.gguf"));
  EXPECT_THAT(Text("ours/Modelfile"), HasSubstr("FROM ./base.gguf\nADAPTER ./adapter.gguf\n"));
}

TEST_F(FolderExportTest, ATokenizerThatGgufCannotSayStopsGgufModelsOnly) {
  WriteBases(config_);
  nlohmann::json tokenizer = nlohmann::json::parse(Text("base/tokenizer.json"));
  tokenizer["added_tokens"][0]["rstrip"] = true;
  Write("tokenizer.json", tokenizer.dump());
  const absl::Status gguf = ExportFolder({Kind::kGguf, GgufFileType::kF16}, "gguf");
  EXPECT_TRUE(HasReason(gguf, "MODEL_UNSUPPORTED")) << gguf;
  for (const Kind kind : {Kind::kSafetensors, Kind::kGgufAdapter}) {
    const absl::Status status =
        ExportFolder({.kind = kind}, kind == Kind::kSafetensors ? "hf" : "a");
    EXPECT_TRUE(status.ok()) << status;
  }
  EXPECT_EQ(Text("hf/tokenizer.json"), Text("base/tokenizer.json"));
}

TEST_F(FolderExportTest, AFolderWithoutATokenizerIsRefused) {
  WriteBases(config_);
  fs::remove(base_folder_ / "tokenizer.json");
  const absl::Status status = ExportFolder({Kind::kGguf, GgufFileType::kF16}, "none");
  EXPECT_TRUE(HasReason(status, "FILE_MISSING")) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("base/tokenizer.json"));
  EXPECT_FALSE(fs::exists(folder_ / "none"));
}

TEST_F(ExportTest, AFullDiskLeavesNothing) {
  const auto before = Files(folder_.path());
  for (const ExportFormat& format :
       {ExportFormat{Kind::kGguf, GgufFileType::kBf16}, ExportFormat{.kind = Kind::kSafetensors},
        ExportFormat{.kind = Kind::kGgufAdapter}}) {
    absl::Status status;
    {
      const FullDisk disk(2 << 10);
      status = Export(format, "full");
    }
    EXPECT_TRUE(HasReason(status, "DISK_FULL")) << status;
    EXPECT_EQ(Files(folder_.path()), before);
  }
}

std::shared_ptr<const ChatTemplate> Chat(std::string_view jinja, int32_t bos = 258) {
  Tokenizer::Parts parts;
  for (int byte = 0; byte < 256; ++byte)
    parts.tokens.emplace_back(CharOfByte(static_cast<uint8_t>(byte)));
  for (const char* name : {"<|im_start|>", "<|im_end|>", "<s>", "</s>"}) {
    parts.added.push_back(
        {.text = name, .id = static_cast<int32_t>(parts.tokens.size()), .special = true});
    parts.tokens.emplace_back(name);
  }
  parts.bos_id = bos;
  parts.eos_id = 259;
  return ChatTemplate::FromText(jinja, Tokenizer::Create(std::move(parts)).value()).value();
}

TEST(ModelfileTest, GoTemplateSaysWhatTheModelsTemplateSays) {
  EXPECT_EQ(GoTemplate(*Chat(kChatMl)),
            "{{ if not .System }}<|im_start|>system\nBe kind.<|im_end|>\n{{ end }}"
            "{{ range .Messages }}"
            "{{ if eq .Role \"system\" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n{{ end }}"
            "{{ if eq .Role \"user\" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n{{ end }}"
            "{{ if eq .Role \"assistant\" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n"
            "{{ end }}{{ end }}<|im_start|>assistant\n");
  // SmolLM2 calls <|im_start|> its begin token, but none is added.
  EXPECT_EQ(GoTemplate(*Chat(kChatMl, 256)), GoTemplate(*Chat(kChatMl)));
}

// Go's templates cannot trim, as Llama 3's does.
TEST(ModelfileTest, RolesWhoseTextsTheTemplateTrimsAreNamed) {
  const auto modelfile = [](std::string_view content) {
    return ModelfileText(
        *Chat(absl::StrCat("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ ",
                           std::string(content), " }}<|im_end|>\n{% endfor %}",
                           "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")),
        {.from = "."});
  };
  EXPECT_THAT(modelfile("m.content | trim"), HasSubstr("(system, user, assistant); Ollama"));
  EXPECT_THAT(modelfile("m.content | trim"), HasSubstr("TEMPLATE \"\"\"{{ range .Messages }}"));
  EXPECT_THAT(modelfile("m.content.lstrip('\n ') if m.role == 'assistant' else m.content"),
              HasSubstr("(assistant); Ollama"));
  EXPECT_THAT(modelfile("m.content"), Not(HasSubstr("white space")));
}

// The system text goes into a user's turn: no template of Ollama's, turn by turn, says that.
TEST(ModelfileTest, WhatCannotBeSaidTurnByTurnIsLeftToOllama) {
  const auto chat = Chat(
      "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {% if loop.last and "
      "messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}{{ m.content }}"
      "[/INST]{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}{% endif %}"
      "{% endfor %}");
  EXPECT_EQ(GoTemplate(*chat), std::nullopt);
  EXPECT_THAT(ModelfileText(*chat, {.from = "."}), HasSubstr("Ollama chooses one"));
}

}  // namespace
}  // namespace crossover::llm
