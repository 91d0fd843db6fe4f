// What the options of an adapter and of its optimizer do, beside their gradients
// (adapter_gradient_test.cc) and resuming (resume_test.cc).
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "common/status/error.h"
#include "llm/lora/adapter.h"
#include "llm/lora/initial.h"
#include "llm/lora/operands.h"
#include "llm/model/memory.h"
#include "llm/model/noise.h"
#include "llm/model/testing.h"
#include "llm/model/weights.h"
#include "llm/train/adapter_plan.h"
#include "llm/train/memory.h"
#include "llm/train/optimizer.h"
#include "llm/train/schedule.h"
#include "llm/train/trainer.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<TrainRow> Rows(int n = 12) {
  std::vector<TrainRow> rows;
  for (int i = 0; i < n; ++i) {
    TrainRow row{.id = "row-" + std::to_string(i)};
    for (int t = 0; t < 12 + i % 3; ++t) row.ids.push_back((t * 7 + i * 3) % 128);
    row.token_weights.assign(row.ids.size(), 1.0f);
    rows.push_back(std::move(row));
  }
  return rows;
}

class AdapterOptionsTest : public testing::Test {
 protected:
  AdapterOptionsTest()
      : folder_(fs::temp_directory_path() / ("crossover_options_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~AdapterOptionsTest() override { fs::remove_all(folder_); }

  static TrainConfig Config() {
    return {.rank = 4, .alpha = 8, .learning_rate = 0.01, .warmup_steps = 0, .batch_rows = 4};
  }

  std::unique_ptr<Trainer> Make(const TrainConfig& config) const {
    auto trainer = Trainer::Create(base_, config, Rows(), Rows(4));
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    return *std::move(trainer);
  }

  LoraAdapter Exported(const Trainer& trainer, const std::string& name) const {
    const std::string folder = (folder_ / name).string();
    EXPECT_TRUE(trainer.ExportAdapter(folder, "tiny").ok());
    auto adapter = ReadAdapter(folder, base_->config());
    EXPECT_TRUE(adapter.ok()) << adapter.status();
    return *std::move(adapter);
  }

  double LossOfBase() const { return Make(Config())->Evaluate()->loss; }  // B is zero.

  // The field that Create refuses, and what it says.
  std::string Refusal(const TrainConfig& config) const {
    const absl::Status status = Trainer::Create(base_, config, Rows(), {}).status();
    const ErrorDetail detail = DetailOf(status);
    EXPECT_EQ(detail.reason, "BAD_TRAIN_CONFIG") << status;
    if (detail.violations.empty()) return "";
    return detail.violations[0].field + ": " + detail.violations[0].description;
  }

  fs::path folder_;
  std::shared_ptr<const BaseModel> base_ = TinyModel();
};

TEST_F(AdapterOptionsTest, DoraAndPissaBeginAsTheBaseAndLearn) {
  for (const bool dora : {false, true}) {
    for (const InitialAdapter initial : {InitialAdapter::kUniform, InitialAdapter::kPissa}) {
      TrainConfig config = Config();
      config.dora = dora;
      config.initial = initial;
      config.epochs = 6;
      const auto trainer = Make(config);
      EXPECT_NEAR(trainer->Evaluate()->loss, LossOfBase(), 1e-5);
      ASSERT_TRUE(trainer->Run(nullptr).ok());
      EXPECT_LT(trainer->Evaluate()->loss, LossOfBase() - 0.5);
      // The folder says all of it: another trainer that goes on from it computes the same.
      const std::string folder =
          (folder_ / ("a" + std::to_string(dora) + std::to_string(static_cast<int>(initial))))
              .string();
      ASSERT_TRUE(trainer->ExportAdapter(folder, "tiny").ok());
      TrainConfig next = config;
      next.initial = InitialAdapter::kUniform;
      if (initial == InitialAdapter::kPissa) {
        next.rank *= 2;
        next.alpha *= 2;
      }
      const auto other = Make(next);
      const absl::Status loaded = other->LoadAdapter(folder);
      ASSERT_TRUE(loaded.ok()) << loaded;
      EXPECT_EQ(other->Evaluate()->loss, trainer->Evaluate()->loss);
    }
  }
}

TEST_F(AdapterOptionsTest, AnAdapterOfAnotherScaleComputesTheSameWhenARunGoesOnFromIt) {
  TrainConfig config = Config();
  config.epochs = 3;
  const auto first = Make(config);
  ASSERT_TRUE(first->Run(nullptr).ok());
  ASSERT_TRUE(first->ExportAdapter((folder_ / "a").string(), "tiny").ok());
  config.alpha = 32;
  const auto second = Make(config);
  ASSERT_TRUE(second->LoadAdapter((folder_ / "a").string()).ok());
  EXPECT_LT(first->Evaluate()->loss, LossOfBase() - 0.2);
  EXPECT_NEAR(second->Evaluate()->loss, first->Evaluate()->loss, 1e-5);
}

TEST_F(AdapterOptionsTest, PissaTakesThePrincipalDirectionsAndKeepsItsSecondHalf) {
  TrainConfig config = Config();
  config.initial = InitialAdapter::kPissa;
  config.weight_decay = 0.1;  // It must not shrink the frozen half either.
  const auto trainer = Make(config);
  const LoraAdapter before = Exported(*trainer, "before");
  ASSERT_TRUE(trainer->Run(nullptr).ok());
  const LoraAdapter after = Exported(*trainer, "after");
  EXPECT_EQ(before.config.rank, 8);
  EXPECT_EQ(before.config.alpha, 16);
  for (const LoraMatrix& m : before.layout.matrices()) {
    const auto matrices = [&](const LoraAdapter& adapter) {
      const at::Tensor flat = at::tensor(at::ArrayRef<float>(adapter.values));
      return std::pair(flat.narrow(0, m.a_offset, m.a_size()).view({m.rank, m.in}),
                       flat.narrow(0, m.b_offset, m.b_size()).view({m.out, m.rank}));
    };
    const auto [a, b] = matrices(before);
    const auto [a_after, b_after] = matrices(after);
    EXPECT_TRUE(at::equal(a.narrow(0, 4, 4), a_after.narrow(0, 4, 4)));
    EXPECT_TRUE(at::equal(b.narrow(1, 4, 4), b_after.narrow(1, 4, 4)));
    EXPECT_FALSE(at::equal(a.narrow(0, 0, 4), a_after.narrow(0, 0, 4)));
    EXPECT_FALSE(at::equal(b.narrow(1, 0, 4), b_after.narrow(1, 0, 4)));
    EXPECT_TRUE(at::equal(a.narrow(0, 0, 4), a.narrow(0, 4, 4)));
    EXPECT_TRUE(at::equal(b.narrow(1, 0, 4), -b.narrow(1, 4, 4)));
    // What is left of W has the singular values that were not taken.
    const FrozenLinear& stack = Part(base_->weights().blocks[m.layer], GroupOf(m.target));
    const at::Tensor w = stack.weight.narrow(0, m.out_offset, m.out).to(at::kDouble);
    const at::Tensor taken = m.scale * at::mm(b.narrow(1, 0, 4), a.narrow(0, 0, 4)).to(at::kDouble);
    const at::Tensor all = at::linalg_svdvals(w), left = at::linalg_svdvals(w - taken);
    const int64_t rest = all.size(0) - 4;
    const at::Tensor error = left.narrow(0, 0, rest) - all.narrow(0, 4, rest);
    EXPECT_LT(error.abs().max().item().toDouble(), 2e-3 * all[0].item().toDouble())
        << ModuleName(m);
  }
}

TEST_F(AdapterOptionsTest, ConfigurationIsWrittenUnderPeftsNames) {
  TrainConfig config = Config();
  config.rslora = true;
  config.dora = true;
  config.dropout = 0.25;
  config.layers = {0, 2};
  config.targets = {Target::kQ, Target::kDown};
  config.rank_pattern = {{"down_proj", 2}};
  config.alpha_pattern = {{"layers.2.self_attn.q_proj", 5}};
  const std::string text = LoraConfigJson(PlannedConfig(config, "tiny"));
  for (const char* part :
       {R"("use_rslora": true)", R"("use_dora": true)", R"("lora_dropout": 0.25)",
        R"("rank_pattern": {
    "down_proj": 2
  })",
        R"("alpha_pattern": {
    "layers.2.self_attn.q_proj": 5
  })",
        R"("layers_to_transform": [
    0,
    2
  ])"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  const LoraAdapter read = Exported(*Make(config), "a");
  ASSERT_EQ(read.layout.matrices().size(), 4u);
  for (const LoraMatrix& m : read.layout.matrices()) {
    EXPECT_TRUE(m.scaled());
    EXPECT_EQ(m.rank, m.target == Target::kDown ? 2 : 4);
    const double alpha = m.target == Target::kQ && m.layer == 2 ? 5 : 8;
    EXPECT_DOUBLE_EQ(m.scale, alpha / std::sqrt(static_cast<double>(m.rank)));
  }
}

TEST_F(AdapterOptionsTest, LoraPlusMovesBByItsRatioAndMagnitudesDoNotDecay) {
  const LoraLayout layout = PlannedLayout(base_->config(), {.rank = 2, .dora = true});
  std::vector<float> values(layout.size(), 1.0f);
  const std::vector<float> gradient(layout.size(), 0.5f);
  AdamW optimizer({.weight_decay = 0.1}, layout.size(), TrainedRuns(layout, 16));
  optimizer.Step(1, 0.001, AdamW::Norm(gradient), gradient, values);
  // The first step of Adam moves every number by its rate.
  for (const LoraMatrix& m : layout.matrices()) {
    EXPECT_NEAR(values[m.a_offset], 1 - 0.001 * 0.1 - 0.001, 1e-6);
    EXPECT_NEAR(values[m.b_offset], 1 - 0.016 * 0.1 - 0.016, 1e-6);
    EXPECT_NEAR(values[m.m_offset + m.out - 1], 1 - 0.016, 1e-6);
  }
}

TEST_F(AdapterOptionsTest, SchedulesFollowTheirFormulas) {
  const auto rates = [](Schedule schedule) {
    TrainConfig config{.learning_rate = 1, .schedule = schedule, .warmup_steps = 2};
    config.decay_share = 0.4;
    std::vector<double> rates;
    for (int64_t t = 0; t < 10; ++t) rates.push_back(LearningRate(config, t, 10));
    return rates;
  };
  using ::testing::DoubleNear;
  const auto near = [](double value) { return DoubleNear(value, 1e-12); };
  EXPECT_THAT(rates(Schedule::kConstant), ElementsAre(0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(rates(Schedule::kLinear),
              ElementsAre(near(0.5), near(0.9), near(0.8), near(0.7), near(0.6), near(0.5),
                          near(0.4), near(0.3), near(0.2), near(0.1)));
  EXPECT_THAT(rates(Schedule::kWsd),
              ElementsAre(near(0.5), near(1), near(1), near(1), near(1), near(1), near(1),
                          near(0.5), near(1 - std::sqrt(0.5)), near(1 - std::sqrt(0.75))));
  EXPECT_NEAR(rates(Schedule::kCosine)[5], 0.5, 1e-12);
}

TEST_F(AdapterOptionsTest, DropoutKeepsItsShareAndTheMeanAndTheStepDecides) {
  const at::Tensor ones = at::ones({64, 500});
  const auto mask = [&](uint64_t step, int64_t layer) {
    const StepNoise noise{.dropout = 0.3, .seed = 9, .step = step};
    at::Tensor out = at::empty_like(ones);
    DropoutRows(ones, noise.DropoutOf(layer, StepNoise::Input::kO), out);
    return out;
  };
  const at::Tensor first = mask(1, 0);
  EXPECT_NEAR((first == 0).to(at::kFloat).mean().item().toDouble(), 0.3, 0.01);
  EXPECT_NEAR(first.mean().item().toDouble(), 1, 0.015);
  EXPECT_TRUE(at::equal(first, mask(1, 0)));
  // Another step, layer, row or column is another draw: equal where both keep or both drop, 0.58.
  const auto agreement = [&](const at::Tensor& a, const at::Tensor& b) {
    return (a == b).to(at::kFloat).mean().item().toDouble();
  };
  EXPECT_NEAR(agreement(first, mask(2, 0)), 0.58, 0.02);
  EXPECT_NEAR(agreement(first, mask(1, 1)), 0.58, 0.02);
  EXPECT_NEAR(agreement(first.slice(0, 0, 63), first.slice(0, 1, 64)), 0.58, 0.02);
  EXPECT_NEAR(agreement(first.slice(1, 0, 499), first.slice(1, 1, 500)), 0.58, 0.02);
}

TEST_F(AdapterOptionsTest, NoiseOnEmbeddingsIsUniformWithinItsBoundByTheRowsLength) {
  Pack pack = PackOf(std::vector<int32_t>(50, 1));
  at::Tensor noise = at::zeros({50, 64});
  AddEmbeddingNoise(pack, {.neftune = 10, .seed = 3, .step = 4}, noise);
  const double bound = 10 / std::sqrt(50.0 * 64);
  EXPECT_LE(noise.abs().max().item().toDouble(), bound * (1 + 1e-6));
  EXPECT_NEAR(noise.std().item().toDouble(), bound / std::sqrt(3.0), 0.03 * bound);
  EXPECT_NEAR(noise.mean().item().toDouble(), 0, 0.03 * bound);
}

TEST_F(AdapterOptionsTest, DropoutAndNoiseAreOffInEvaluation) {
  TrainConfig config = Config();
  config.dropout = 0.5;
  config.neftune = 50;
  EXPECT_EQ(Make(config)->Evaluate()->loss, LossOfBase());
}

TEST_F(AdapterOptionsTest, RecomputingIsChosenByTheBudgetOrByOrder) {
  TrainConfig config = Config();
  const auto estimate = [&] { return Make(config)->Estimate(); };
  const int64_t kept = estimate().activation_bytes;
  EXPECT_FALSE(estimate().recompute);
  config.activation_bytes = kept / 2;
  EXPECT_TRUE(estimate().recompute);
  EXPECT_LT(estimate().activation_bytes, kept);
  config.recompute = Recompute::kNever;
  EXPECT_FALSE(estimate().recompute);
  config.activation_bytes = 0;
  config.recompute = Recompute::kAlways;
  EXPECT_TRUE(estimate().recompute);
  EXPECT_GT(AvailableMemory(), 0);
}

TEST_F(AdapterOptionsTest, WhatIsOutOfRangeIsRefusedByField) {
  const auto refusal = [&](auto change) {
    TrainConfig config = Config();
    change(config);
    return Refusal(config);
  };
  EXPECT_THAT(refusal([](TrainConfig& c) { c.dropout = 1; }), HasSubstr("dropout: must be in [0,"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.dropout = std::nan(""); }), HasSubstr("dropout"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.neftune = -1; }), HasSubstr("neftune"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.b_rate = 0; }), HasSubstr("b_rate"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.decay_share = 0; }), HasSubstr("decay_share"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.activation_bytes = -1; }),
              HasSubstr("activation_bytes"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.layers = {3}; }),
              HasSubstr("layers: names layer 3; the model has 0 to 2"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.rank_pattern = {{"q_proj", 0}}; }),
              HasSubstr("rank_pattern: 'q_proj' must be 1 to 1024"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.rank_pattern = {{"lm_head", 4}}; }),
              HasSubstr("rank_pattern: 'lm_head' matches no adapted layer"));
  EXPECT_THAT(refusal([](TrainConfig& c) { c.alpha_pattern = {{"q_proj", 4}, {".*_proj", 2}}; }),
              HasSubstr("both match model.layers.0.self_attn.q_proj"));
  EXPECT_THAT(refusal([](TrainConfig& c) {
                c.initial = InitialAdapter::kPissa;
                c.rank = 33;
              }),
              HasSubstr("rank: is 33 for model.layers.0.self_attn.k_proj, which has 32"));
}

}  // namespace
}  // namespace crossover::llm
