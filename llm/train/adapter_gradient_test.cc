// Gradients of every form of adapter against PyTorch's autograd in double precision: DoRA, dropped
// inputs, noise on embeddings, PiSSA's halves, ranks by module; and that recomputing activations
// changes no bit.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "llm/lora/initial.h"
#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/testing.h"
#include "llm/model/weights.h"
#include "llm/train/adapter_plan.h"
#include "llm/train/backward.h"
#include "llm/train/loss.h"
#include "llm/train/packer.h"
#include "llm/train/reference_model.h"

namespace crossover::llm {
namespace {

// Rows that share their first 20 tokens, no two of them equal.
std::vector<TrainRow> Rows() {
  at::manual_seed(11);
  std::vector<TrainRow> rows;
  for (int i = 0; i < 5; ++i) {
    TrainRow row{.weight = 0.5f + 0.25f * static_cast<float>(i)};
    for (int t = 0; t < 20; ++t) row.ids.push_back(t % 7 + 3);
    row.ids.push_back(100 + i);
    for (int t = 0; t < 10 + 9 * i; ++t) row.ids.push_back(at::randint(128, {1}).item().toInt());
    row.token_weights.assign(row.ids.size(), 1.0f);
    std::fill(row.token_weights.begin(), row.token_weights.begin() + 15 + i, 0.0f);
    rows.push_back(std::move(row));
  }
  return rows;
}

// Where each token of a row stands in the pack.
at::Tensor PlacesOf(const TrainRow& row, const Pack& pack) {
  std::vector<int64_t> places;
  int parent = -1;
  while (places.size() < row.ids.size()) {
    const size_t before = places.size();
    for (size_t s = 0; s < pack.segments.size() && places.size() == before; ++s) {
      const Segment& segment = pack.segments[s];
      if (segment.parent != parent || before + segment.size() > row.ids.size() ||
          !std::equal(pack.ids.begin() + segment.begin, pack.ids.begin() + segment.end,
                      row.ids.begin() + static_cast<int64_t>(before))) {
        continue;
      }
      for (int64_t t = segment.begin; t < segment.end; ++t) places.push_back(t);
      parent = static_cast<int>(s);
    }
    if (places.size() == before) throw std::logic_error("a row does not stand in its pack");
  }
  return at::tensor(places);
}

StepNoise::Input InputOf(Group group) {
  switch (group) {
    case Group::kQkv:
      return StepNoise::Input::kQkv;
    case Group::kO:
      return StepNoise::Input::kO;
    case Group::kGateUp:
      return StepNoise::Input::kGateUp;
    case Group::kDown:
      break;
  }
  return StepNoise::Input::kDown;
}

struct Case {
  TrainConfig config;
  PackOptions packing{.max_tokens = 1000, .min_shared_prefix = 4};
  Architecture architecture = Architecture::kLlama;
};

class AdapterGradientTest : public testing::Test {
 protected:
  void Make(const Case& c, ComputeType type = ComputeType::kFp32) {
    base_ = TinyModel(type, c.architecture);
    layout_ = PlannedLayout(base_->config(), c.config);
    rows_ = Rows();
    pointers_.clear();
    for (const TrainRow& row : rows_) pointers_.push_back(&row);
    packs_ = PackRows(pointers_, c.packing);
    total_ = TotalWeight(pointers_);
    noise_ = {c.config.dropout, c.config.neftune, /*seed=*/5, /*step=*/7, /*first_token=*/0};
    values_ = at::randn({layout_.size()}) * 0.1;
    const std::vector<float> initial = InitialValues(*base_, layout_, 1);
    for (const LoraMatrix& m : layout_.matrices()) {
      for (int64_t j = 0; m.scaled() && j < m.out; ++j)
        values_[m.m_offset + j] = initial[m.m_offset + j] * (1 + 0.05 * (j % 5));
    }
  }

  // Loss and, in `gradient`, its gradient by autograd.
  double Wanted(at::Tensor& gradient) {
    at::Tensor leaf = values_.to(at::kDouble).requires_grad_(true);
    at::Tensor loss = at::zeros({}, at::kDouble);
    StepNoise noise = noise_;
    for (const TrainPack& pack : packs_) {
      for (const int32_t index : RowsIn(pack)) {
        const at::Tensor places = PlacesOf(rows_[index], pack.pack);
        Reference reference(*base_, layout_, leaf);
        reference.noisy = [&](const at::Tensor& x) {
          at::Tensor added = at::zeros({pack.pack.tokens(), x.size(1)});
          if (noise.neftune > 0) AddEmbeddingNoise(pack.pack, noise, added);
          return x + added.index_select(0, places).to(at::kDouble);
        };
        reference.dropped = [&](int64_t layer, Group group, const at::Tensor& x) {
          const Dropout dropout = noise.DropoutOf(layer, InputOf(group));
          at::Tensor mask = at::ones({pack.pack.tokens(), x.size(1)});
          if (dropout.active()) DropoutRows(mask.clone(), dropout, mask);
          return x * mask.index_select(0, places).to(at::kDouble);
        };
        loss = loss + reference.WeightedLoss(rows_[index]) / total_;
      }
      noise.first_token += pack.pack.tokens();
    }
    gradient = torch::autograd::grad({loss}, {leaf})[0];
    return loss.item().toDouble();
  }

  double Got(at::Tensor& gradient, bool recompute = false) {
    const c10::InferenceMode inference;
    LoraOperands operands(*base_, layout_);
    operands.Assign(layout_, {values_.data_ptr<float>(), static_cast<size_t>(layout_.size())});
    Activations activations(*base_, RanksOf(layout_, noise_.dropout > 0), true, recompute);
    DecoderBackward backward(*base_, layout_);
    LossHead head(base_->weights().head);
    gradient = at::zeros({layout_.size()});
    double loss = 0;
    StepNoise noise = noise_;
    for (const TrainPack& pack : packs_) {
      DecoderForward(*base_, operands.blocks(), pack.pack, activations, noise);
      loss += head.Gradient(pack.entries, activations.h_final, 1 / total_, activations.delta)
                  .weighted_loss /
              total_;
      backward.Run(pack.pack, operands, activations, activations.delta,
                   {gradient.data_ptr<float>(), static_cast<size_t>(layout_.size())}, noise);
      noise.first_token += pack.pack.tokens();
    }
    return loss;
  }

  void ExpectEqualToAutograd(const Case& c) {
    Make(c);
    at::Tensor want, got;
    const double want_loss = Wanted(want), got_loss = Got(got);
    EXPECT_LT(std::abs(got_loss - want_loss) / want_loss, 1e-6);
    for (const LoraMatrix& m : layout_.matrices()) {
      const auto compare = [&](const char* what, int64_t offset, int64_t size) {
        const at::Tensor w = want.narrow(0, offset, size);
        const at::Tensor g = got.narrow(0, offset, size).to(at::kDouble);
        ASSERT_GT(w.norm().item().toDouble(), 0) << ModuleName(m) << " " << what;
        EXPECT_LT(((g - w).norm() / w.norm()).item().toDouble(), 1e-5)
            << ModuleName(m) << " " << what;
      };
      compare("A", m.a_offset, m.a_size());
      compare("B", m.b_offset, m.b_size());
      if (m.scaled()) compare("magnitudes", m.m_offset, m.out);
    }
  }

  void ExpectRecomputedToBeTheSameBits(const Case& c, ComputeType type) {
    Make(c, type);
    at::Tensor kept, again;
    EXPECT_EQ(Got(kept, false), Got(again, true));
    EXPECT_EQ(std::memcmp(kept.data_ptr(), again.data_ptr(), kept.nbytes()), 0);
  }

  std::shared_ptr<const BaseModel> base_;
  LoraLayout layout_{ModelConfig{}, {}};
  std::vector<TrainRow> rows_;
  std::vector<const TrainRow*> pointers_;
  std::vector<TrainPack> packs_;
  double total_ = 0;
  StepNoise noise_;
  at::Tensor values_;

 private:
  static std::vector<int32_t> RowsIn(const TrainPack& pack) {
    std::vector<int32_t> rows;
    for (const LossEntry& entry : pack.entries) {
      if (rows.empty() || rows.back() != entry.row) rows.push_back(entry.row);
    }
    return rows;
  }
};

TrainConfig Small() { return {.rank = 4, .alpha = 8}; }

Case Dora(Architecture architecture = Architecture::kLlama) {
  Case c{Small(), {.max_tokens = 1000, .min_shared_prefix = 4}, architecture};
  c.config.dora = true;
  return c;
}

// Everything at once, in two packs.
Case Everything() {
  Case c = Dora(Architecture::kQwen2);
  c.packing.max_tokens = 120;
  c.config.rslora = true;
  c.config.dropout = 0.2;
  c.config.neftune = 10;
  c.config.layers = {1, 2};
  c.config.rank_pattern = {{"q_proj", 6}, {"layers.2.mlp.up_proj", 3}};
  c.config.alpha_pattern = {{".*_proj", 12}};
  return c;
}

TEST_F(AdapterGradientTest, Dora) { ExpectEqualToAutograd(Dora()); }

TEST_F(AdapterGradientTest, DoraWithBiases) { ExpectEqualToAutograd(Dora(Architecture::kQwen2)); }

TEST_F(AdapterGradientTest, DoraWithHeadNorms) {
  ExpectEqualToAutograd(Dora(Architecture::kQwen3));
}

TEST_F(AdapterGradientTest, DoraOfSomeLayersLeavesTheirNeighboursAlone) {
  for (const std::vector<Target>& targets :
       {std::vector<Target>{Target::kQ, Target::kV}, {Target::kUp, Target::kO}, {Target::kDown}}) {
    Case c = Dora(Architecture::kQwen2);
    c.config.targets = targets;
    ExpectEqualToAutograd(c);
  }
}

TEST_F(AdapterGradientTest, Dropout) {
  Case c{Small()};
  c.config.dropout = 0.3;
  ExpectEqualToAutograd(c);
  c.packing.max_tokens = 70;
  ExpectEqualToAutograd(c);
  c.packing = {.max_tokens = 1000, .share_prefix = false};
  ExpectEqualToAutograd(c);
}

TEST_F(AdapterGradientTest, NoiseOnEmbeddings) {
  Case c{Small()};
  c.config.neftune = 15;
  ExpectEqualToAutograd(c);
}

TEST_F(AdapterGradientTest, PatternsAndRankStabilisedScale) {
  Case c{Small()};
  c.config.rslora = true;
  c.config.rank_pattern = {{"down_proj", 2}, {"layers.1.self_attn.[qk]_proj", 8}};
  c.config.alpha_pattern = {{"v_proj", 32}};
  ExpectEqualToAutograd(c);
}

TEST_F(AdapterGradientTest, TwiceTheRankOfPissa) {
  Case c{Small()};
  c.config.initial = InitialAdapter::kPissa;
  ExpectEqualToAutograd(c);
}

TEST_F(AdapterGradientTest, EverythingAtOnce) { ExpectEqualToAutograd(Everything()); }

TEST_F(AdapterGradientTest, RecomputedActivationsChangeNoBit) {
  for (const ComputeType type : {ComputeType::kFp32, ComputeType::kBf16}) {
    ExpectRecomputedToBeTheSameBits({Small()}, type);
    ExpectRecomputedToBeTheSameBits({Small(), {.max_tokens = 80}, Architecture::kQwen3}, type);
    ExpectRecomputedToBeTheSameBits(Everything(), type);
  }
}

TEST_F(AdapterGradientTest, RecomputingTakesTheMemoryThatItSays) {
  const ModelConfig config = TinyConfig();
  const Execution fp32{.compute_type = ComputeType::kFp32};
  const int64_t all = Activations::BytesPerToken(config, fp32, {}, true);
  const int64_t inputs = Activations::BytesPerToken(config, fp32, {}, true, true);
  const int64_t one = Activations::BytesPerToken(config, fp32, {}, false);
  EXPECT_EQ(inputs - one, 2 * 4 * config.hidden_size);
  EXPECT_LT(inputs, all / 2);
}

}  // namespace
}  // namespace crossover::llm
