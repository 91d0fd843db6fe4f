// The hand-written gradient against PyTorch's autograd in double precision.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <vector>

#include "llm/lora/adapter.h"
#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/testing.h"
#include "llm/train/backward.h"
#include "llm/train/loss.h"
#include "llm/train/packer.h"
#include "llm/train/reference_model.h"

namespace crossover::llm {
namespace {

std::vector<TrainRow> Rows() {
  at::manual_seed(11);
  std::vector<TrainRow> rows;
  for (int i = 0; i < 5; ++i) {
    TrainRow row{.weight = 0.5f + 0.25f * static_cast<float>(i)};
    for (int t = 0; t < 20; ++t) row.ids.push_back(t % 7 + 3);  // Shared by all rows.
    for (int t = 0; t < 10 + 9 * i; ++t) row.ids.push_back(at::randint(128, {1}).item().toInt());
    row.token_weights.assign(row.ids.size(), 1.0f);
    std::fill(row.token_weights.begin(), row.token_weights.begin() + 15 + i, 0.0f);
    rows.push_back(std::move(row));
  }
  rows.push_back(rows[2]);
  return rows;
}

struct Comparison {
  double loss_error;
  double gradient_error;
};

Comparison Compare(const BaseModel& base, const std::vector<Target>& targets,
                   const PackOptions& packing) {
  const LoraLayout layout = LoraLayout::Uniform(base.config(), targets, 4, 2.0);
  const std::vector<TrainRow> rows = Rows();
  std::vector<const TrainRow*> pointers;
  for (const TrainRow& row : rows) pointers.push_back(&row);
  const double total = TotalWeight(pointers);
  const at::Tensor values =
      at::randn({layout.size()}) * 0.1;  // B is not zero, so that A has a gradient.

  at::Tensor leaf = values.to(at::kDouble).requires_grad_(true);
  const Reference reference(base, layout, leaf);
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (const TrainRow& row : rows) loss = loss + reference.WeightedLoss(row) / total;
  const at::Tensor want = torch::autograd::grad({loss}, {leaf})[0];

  const c10::InferenceMode inference;
  LoraOperands operands(base, layout);
  operands.Assign(layout, {values.data_ptr<float>(), static_cast<size_t>(layout.size())});
  Activations activations(base, RanksOf(layout), true);
  DecoderBackward backward(base, layout);
  LossHead head(base.weights().head);
  at::Tensor got = at::zeros({layout.size()});
  double got_loss = 0;
  for (const TrainPack& pack : PackRows(pointers, packing)) {
    DecoderForward(base, operands.blocks(), pack.pack, activations);
    got_loss += head.Gradient(pack.entries, activations.h_final, 1 / total, activations.delta)
                    .weighted_loss /
                total;
    backward.Run(pack.pack, operands, activations, activations.delta,
                 {got.data_ptr<float>(), static_cast<size_t>(layout.size())});
  }
  const double reference_loss = loss.item().toDouble();
  return {std::abs(got_loss - reference_loss) / reference_loss,
          ((got.to(at::kDouble) - want).norm() / want.norm()).item().toDouble()};
}

const std::vector<Target> kAll(kAllTargets.begin(), kAllTargets.end());

TEST(GradientTest, Fp32EqualsAutograd) {
  const Comparison result =
      Compare(*TinyModel(), kAll, {.max_tokens = 1000, .share_prefix = false});
  EXPECT_LT(result.loss_error, 1e-6);
  EXPECT_LT(result.gradient_error, 1e-5);
}

TEST(GradientTest, SharedPrefixChangesNothing) {
  const Comparison result =
      Compare(*TinyModel(), kAll, {.max_tokens = 1000, .min_shared_prefix = 4});
  EXPECT_LT(result.loss_error, 1e-6);
  EXPECT_LT(result.gradient_error, 1e-5);
}

TEST(GradientTest, SeveralPacksChangeNothing) {
  const Comparison result = Compare(*TinyModel(), kAll, {.max_tokens = 80, .min_shared_prefix = 4});
  EXPECT_LT(result.loss_error, 1e-6);
  EXPECT_LT(result.gradient_error, 1e-5);
}

TEST(GradientTest, SomeTargetsAndBiasesEqualAutograd) {
  const auto base = TinyModel(ComputeType::kFp32, Architecture::kQwen2);
  for (const std::vector<Target>& targets :
       {std::vector<Target>{Target::kQ, Target::kV}, {Target::kDown}, {Target::kUp, Target::kO}}) {
    const Comparison result = Compare(*base, targets, {.max_tokens = 1000, .min_shared_prefix = 4});
    EXPECT_LT(result.loss_error, 1e-6);
    EXPECT_LT(result.gradient_error, 1e-5);
  }
}

TEST(GradientTest, HeadNormsEqualAutograd) {
  const auto base = TinyModel(ComputeType::kFp32, Architecture::kQwen3);
  for (const std::vector<Target>& targets : {kAll, {Target::kQ}, {Target::kK, Target::kUp}}) {
    const Comparison result = Compare(*base, targets, {.max_tokens = 1000, .min_shared_prefix = 4});
    EXPECT_LT(result.loss_error, 1e-6);
    EXPECT_LT(result.gradient_error, 1e-5);
  }
}

TEST(GradientTest, Bf16StaysWithinItsRounding) {
  const Comparison result =
      Compare(*TinyModel(ComputeType::kBf16), kAll, {.max_tokens = 1000, .min_shared_prefix = 4});
  EXPECT_LT(result.loss_error, 0.01);
  EXPECT_LT(result.gradient_error, 0.05);
}

}  // namespace
}  // namespace crossover::llm
