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
#include "llm/model/weights.h"
#include "llm/train/backward.h"
#include "llm/train/loss.h"
#include "llm/train/packer.h"

namespace crossover::llm {
namespace {

at::Tensor Double(const at::Tensor& tensor) { return tensor.to(at::kDouble).clone(); }

// One row at a time, plain operations, everything in double.
class Reference {
 public:
  Reference(const BaseModel& base, const LoraLayout& layout, const at::Tensor& flat)
      : base_(base), layout_(layout), flat_(flat) {}

  at::Tensor WeightedLoss(const TrainRow& row) const {
    const ModelWeights& w = base_.weights();
    const ModelConfig& c = base_.config();
    const std::vector<int64_t> ids(row.ids.begin(), row.ids.end());
    const int64_t n = static_cast<int64_t>(ids.size());
    at::Tensor x = Double(w.embedding).index_select(0, at::tensor(ids));
    for (int64_t i = 0; i < c.layers; ++i) {
      const BlockWeights& block = w.blocks[i];
      at::Tensor qkv = Linear(block.qkv, i, Group::kQkv, Norm(x, block.attention_norm));
      x = x + Linear(block.o, i, Group::kO, Attention(qkv, block.head_norm, n));
      const at::Tensor gu = Linear(block.gate_up, i, Group::kGateUp, Norm(x, block.mlp_norm));
      const at::Tensor act = at::silu(gu.narrow(1, 0, c.intermediate_size)) *
                             gu.narrow(1, c.intermediate_size, c.intermediate_size);
      x = x + Linear(block.down, i, Group::kDown, act);
    }
    const at::Tensor logits = at::matmul(Norm(x, w.final_norm), Double(w.head.weight).t());
    at::Tensor loss = at::zeros({}, at::kDouble);
    for (int64_t t = 1; t < n; ++t) {
      const double weight = row.weight * row.token_weights[t];
      if (weight != 0) loss = loss - weight * at::log_softmax(logits[t - 1], 0)[ids[t]];
    }
    return loss;
  }

 private:
  at::Tensor Norm(const at::Tensor& x, const at::Tensor& weight) const {
    return x * at::rsqrt(x.pow(2).mean(-1, true) + base_.config().rms_norm_eps) * Double(weight);
  }

  at::Tensor Linear(const FrozenLinear& linear, int64_t layer, Group group,
                    const at::Tensor& x) const {
    at::Tensor y = at::matmul(x, Double(linear.weight).t());
    if (linear.bias.defined()) y = y + Double(linear.bias);
    for (const LoraMatrix* m : layout_.MatricesOf(layer, group)) {
      const at::Tensor a = flat_.narrow(0, m->a_offset, m->a_size()).view({m->rank, m->in});
      const at::Tensor b = flat_.narrow(0, m->b_offset, m->b_size()).view({m->out, m->rank});
      const at::Tensor add = at::matmul(at::matmul(x, a.t()), b.t()) * m->scale;
      y = y + at::constant_pad_nd(add, {m->out_offset, linear.out() - m->out_offset - m->out});
    }
    return y;
  }

  at::Tensor Rotate(const at::Tensor& x, int64_t n) const {  // [heads, n, head_dim]
    const int64_t half = base_.config().head_dim / 2;
    const at::Tensor cos = Double(base_.weights().rope.cos.narrow(0, 0, n)),
                     sin = Double(base_.weights().rope.sin.narrow(0, 0, n));
    const at::Tensor a = x.narrow(2, 0, half), b = x.narrow(2, half, half);
    return at::cat({a * cos - b * sin, b * cos + a * sin}, 2);
  }

  at::Tensor HeadNorm(const at::Tensor& x, const at::Tensor& weight) const {
    return weight.defined() ? Norm(x, weight) : x;
  }

  at::Tensor Attention(const at::Tensor& qkv, const struct HeadNorm& norm, int64_t n) const {
    const ModelConfig& c = base_.config();
    const auto heads = [&](int64_t first, int64_t count) {
      return qkv.narrow(1, first * c.head_dim, count * c.head_dim)
          .reshape({n, count, c.head_dim})
          .transpose(0, 1);
    };
    const int64_t group = c.heads / c.kv_heads;
    const at::Tensor q = Rotate(HeadNorm(heads(0, c.heads), norm.q), n);
    const at::Tensor k =
        Rotate(HeadNorm(heads(c.heads, c.kv_heads), norm.k), n).repeat_interleave(group, 0);
    const at::Tensor v = heads(c.heads + c.kv_heads, c.kv_heads).repeat_interleave(group, 0);
    const at::Tensor mask = at::full({n, n}, -INFINITY, at::kDouble).triu(1);
    const at::Tensor p =
        at::softmax(at::matmul(q, k.transpose(1, 2)) / std::sqrt(double(c.head_dim)) + mask, -1);
    return at::matmul(p, v).transpose(0, 1).reshape({n, c.heads * c.head_dim});
  }

  const BaseModel& base_;
  const LoraLayout& layout_;
  at::Tensor flat_;
};

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
  LoraOperands operands(base.config(), layout, base.weights().options());
  operands.Assign(layout, {values.data_ptr<float>(), static_cast<size_t>(layout.size())});
  Activations activations(base,
                          {layout.MaxRankSum(Group::kQkv), layout.MaxRankSum(Group::kO),
                           layout.MaxRankSum(Group::kGateUp), layout.MaxRankSum(Group::kDown)},
                          true);
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
