#include "bench/train/gradient.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "bench/train/rows.h"
#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/testing.h"
#include "llm/train/backward.h"
#include "llm/train/loss.h"
#include "llm/train/packer.h"
#include "llm/train/reference_model.h"

namespace crossover::llm {

double GradientError() {
  const auto base = TinyModel(ComputeType::kFp32);
  const std::vector<Target> targets(kAllTargets.begin(), kAllTargets.end());
  const LoraLayout layout = LoraLayout::Uniform(base->config(), targets, 4, 2.0);
  const std::vector<TrainRow> rows = SyntheticRows(4, base->config().vocab_size);
  std::vector<const TrainRow*> pointers;
  for (const TrainRow& row : rows) pointers.push_back(&row);
  const double total = TotalWeight(pointers);
  const at::Tensor values = at::randn({layout.size()}, at::detail::createCPUGenerator(1)) * 0.1;

  const at::Tensor leaf = values.to(at::kDouble).requires_grad_(true);
  const Reference reference(*base, layout, leaf);
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (const TrainRow& row : rows) loss = loss + reference.WeightedLoss(row) / total;
  const at::Tensor want = torch::autograd::grad({loss}, {leaf})[0];

  const c10::InferenceMode inference;
  LoraOperands operands(*base, layout);
  const auto size = static_cast<size_t>(layout.size());
  operands.Assign(layout, {values.data_ptr<float>(), size});
  Activations activations(*base, RanksOf(layout), /*keep=*/true);
  DecoderBackward backward(*base, layout);
  LossHead head(base->weights().head);
  at::Tensor got = at::zeros({layout.size()});
  for (const TrainPack& pack : PackRows(pointers, {.max_tokens = 4096})) {
    DecoderForward(*base, operands.blocks(), pack.pack, activations);
    head.Gradient(pack.entries, activations.h_final, 1 / total, activations.delta);
    backward.Run(pack.pack, operands, activations, activations.delta,
                 {got.data_ptr<float>(), size});
  }
  return ((got.to(at::kDouble) - want).norm() / want.norm()).item().toDouble();
}

}  // namespace crossover::llm
