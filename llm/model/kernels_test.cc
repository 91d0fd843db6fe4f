#include "llm/model/kernels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <vector>

#include "llm/model/rows.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {
namespace {

double RelativeError(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want).norm() / want.norm()).item().toDouble();
}

// Every instruction set this machine can run.
std::vector<const KernelSet*> Sets() {
  std::vector<const KernelSet*> sets = {&KernelsGeneric()};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    sets.push_back(&KernelsAvx2());
  if (Kernels().name == "avx512") sets.push_back(&KernelsAvx512());
  return sets;
}

class KernelsTest : public testing::Test {
 protected:
  void SetUp() override { at::manual_seed(1); }
};

TEST_F(KernelsTest, RmsNormAndItsGradientMatchAutograd) {
  const at::Tensor x = at::randn({5, 77}), w = at::randn({77}), dy = at::randn({5, 77}),
                   residual = at::randn({5, 77});
  at::Tensor leaf = x.to(at::kDouble).requires_grad_(true);
  const at::Tensor y = leaf * at::rsqrt(leaf.pow(2).mean(-1, true) + 1e-5) * w.to(at::kDouble);
  const at::Tensor dx =
      torch::autograd::grad({y}, {leaf}, {dy.to(at::kDouble)})[0] + residual.to(at::kDouble);
  for (const KernelSet* set : Sets()) {
    at::Tensor got = at::empty_like(x), rstd = at::empty({5}), got_dx = at::empty_like(x);
    set->f32.rms_norm(Data<float>(x), Data<float>(w), 1e-5f, 5, 77, Data<float>(got),
                      Data<float>(rstd));
    set->f32.rms_norm_backward(Data<float>(x), Data<float>(w), Data<float>(rstd), Data<float>(dy),
                               Data<float>(residual), 5, 77, Data<float>(got_dx));
    EXPECT_LT(RelativeError(got, y.detach()), 1e-6) << set->name;
    EXPECT_LT(RelativeError(got_dx, dx), 1e-6) << set->name;
  }
}

TEST_F(KernelsTest, GatedActivationAndItsGradientMatchAutograd) {
  const at::Tensor gate_up = at::randn({4, 2 * 50}) * 4, d_act = at::randn({4, 50});
  at::Tensor leaf = gate_up.to(at::kDouble).requires_grad_(true);
  const at::Tensor act = at::silu(leaf.narrow(1, 0, 50)) * leaf.narrow(1, 50, 50);
  const at::Tensor gradient = torch::autograd::grad({act}, {leaf}, {d_act.to(at::kDouble)})[0];
  for (const KernelSet* set : Sets()) {
    at::Tensor got = at::empty({4, 50}), again = at::empty({4, 50}), in = gate_up.clone();
    set->f32.silu_mul(Data<float>(in), 4, 50, Data<float>(got));
    set->f32.silu_mul_backward(Data<float>(in), Data<float>(d_act), 4, 50, Data<float>(again));
    EXPECT_LT(RelativeError(got, act.detach()), 1e-6) << set->name;
    EXPECT_LT(RelativeError(again, act.detach()), 1e-6) << set->name;
    EXPECT_LT(RelativeError(in, gradient), 1e-6) << set->name;
  }
}

TEST_F(KernelsTest, CrossEntropyAndItsGradientMatchAutograd) {
  const at::Tensor logits = at::randn({3, 1000}) * 5;
  const std::vector<int32_t> targets = {0, 999, 17};
  const std::vector<float> weights = {0.5f, 2.0f, 0.0f};
  at::Tensor leaf = logits.to(at::kDouble).requires_grad_(true);
  const at::Tensor index = at::tensor({0, 999, 17}, at::kLong).unsqueeze(1);
  const at::Tensor loss = -at::log_softmax(leaf, -1).gather(1, index).squeeze(1);
  const at::Tensor gradient =
      torch::autograd::grad({loss}, {leaf}, {at::tensor({0.5, 2.0, 0.0}, at::kDouble)})[0];
  for (const KernelSet* set : Sets()) {
    at::Tensor in = logits.clone(), got = at::empty({3});
    uint8_t correct[3];
    set->f32.cross_entropy(Data<float>(in), targets.data(), nullptr, 3, 1000, Data<float>(got),
                           correct);
    EXPECT_TRUE(at::equal(in, logits)) << set->name;
    set->f32.cross_entropy(Data<float>(in), targets.data(), weights.data(), 3, 1000,
                           Data<float>(got), correct);
    EXPECT_LT(RelativeError(got, loss.detach()), 1e-6) << set->name;
    EXPECT_LT(RelativeError(in, gradient), 1e-5) << set->name;
  }
}

TEST_F(KernelsTest, CrossEntropyOfNanIsNan) {
  at::Tensor logits = at::randn({1, 64});
  logits[0][5] = NAN;
  const int32_t target = 3;
  float loss = 0;
  uint8_t correct = 0;
  for (const KernelSet* set : Sets()) {
    set->f32.cross_entropy(Data<float>(logits), &target, nullptr, 1, 64, &loss, &correct);
    EXPECT_TRUE(std::isnan(loss)) << set->name;
  }
}

TEST_F(KernelsTest, Bf16IsRoundedToNearestEvenAsTorchDoes) {
  const at::Tensor x = at::randn({7, 33}) * 100;
  for (const KernelSet* set : Sets()) {
    at::Tensor got = at::empty({7, 33}, at::kBFloat16);
    set->bf16.cast(Data<float>(x), 33, 1.0f, 7, 33, Data<Bf16Bits>(got), 33);
    EXPECT_TRUE(at::equal(got, x.to(at::kBFloat16))) << set->name;
  }
}

TEST_F(KernelsTest, RotationBackUndoesRotation) {
  const at::Tensor x = at::randn({6, 2 * 16});
  const at::Tensor angle = at::randn({10, 8});
  const std::vector<int32_t> positions = {0, 3, 9, 1, 2, 2};
  const at::Tensor cos = at::cos(angle), sin = at::sin(angle);
  for (const KernelSet* set : Sets()) {
    at::Tensor y = x.clone();
    set->f32.rope(Data<float>(y), 32, 2, 16, positions.data(), Data<float>(cos), Data<float>(sin),
                  1.0f, 6);
    EXPECT_GT(RelativeError(y, x.to(at::kDouble)), 0.1) << set->name;
    set->f32.rope(Data<float>(y), 32, 2, 16, positions.data(), Data<float>(cos), Data<float>(sin),
                  -1.0f, 6);
    EXPECT_LT(RelativeError(y, x.to(at::kDouble)), 1e-6) << set->name;
  }
}

TEST_F(KernelsTest, RandomNumbersAreTheSameForEveryInstructionSet) {
  const at::Tensor x = at::randn({6, 83});
  const std::vector<uint64_t> keys = {1, 2, uint64_t{1} << 40, 77, ~uint64_t{0}, 0};
  const std::vector<float> amplitude = {1, 2, 3, 0.5f, 0, 1};
  const auto run = [&](const KernelSet& set) {
    at::Tensor dropped = at::empty_like(x), added = x.clone(), noisy = x.clone();
    set.f32.dropout(Data<float>(x), keys.data(), 1u << 30, 2.0f, 6, 83, Data<float>(dropped));
    set.f32.add_dropout(Data<float>(x), keys.data(), 1u << 30, 2.0f, 6, 83, Data<float>(added));
    set.f32.add_noise(Data<float>(noisy), keys.data(), amplitude.data(), 6, 83);
    return std::vector<at::Tensor>{dropped, added, noisy};
  };
  const std::vector<at::Tensor> want = run(KernelsGeneric());
  EXPECT_TRUE(at::equal(want[0] == 0, want[1] == x));
  EXPECT_TRUE(at::equal(want[0].masked_select(want[0] != 0), 2 * x.masked_select(want[0] != 0)));
  EXPECT_TRUE(at::equal(want[2][4], x[4]));
  for (const KernelSet* set : Sets()) {
    const std::vector<at::Tensor> got = run(*set);
    EXPECT_TRUE(at::equal(got[0], want[0])) << set->name;
    EXPECT_TRUE(at::equal(got[1] == x, want[1] == x)) << set->name;
    EXPECT_TRUE(at::allclose(got[1], want[1])) << set->name;
    EXPECT_TRUE(at::allclose(got[2], want[2])) << set->name;
  }
}

TEST_F(KernelsTest, ColumnsAreScaledAndSummed) {
  const at::Tensor a = at::randn({9, 70}), b = at::randn({9, 70});
  const at::Tensor scale = at::randn({70}), shift = at::randn({70});
  for (const KernelSet* set : Sets()) {
    at::Tensor scaled = at::empty_like(a), plain = a.clone(), dot = at::empty({70}),
               without = at::empty({70});
    set->f32.scale_columns(Data<float>(a), Data<float>(scale), Data<float>(shift), 9, 70,
                           Data<float>(scaled));
    set->f32.scale_columns(Data<float>(plain), Data<float>(scale), nullptr, 9, 70,
                           Data<float>(plain));
    set->f32.column_dot(Data<float>(a), Data<float>(b), Data<float>(shift), 70, 9, 70,
                        Data<float>(dot));
    set->f32.column_dot(Data<float>(a), Data<float>(b), nullptr, 70, 9, 70, Data<float>(without));
    EXPECT_TRUE(at::allclose(scaled, a * scale + shift)) << set->name;
    EXPECT_TRUE(at::allclose(plain, a * scale)) << set->name;
    EXPECT_TRUE(at::allclose(dot, (a * (b - shift)).sum(0), 1e-4, 1e-5)) << set->name;
    EXPECT_TRUE(at::allclose(without, (a * b).sum(0), 1e-4, 1e-5)) << set->name;
  }
}

TEST_F(KernelsTest, AdamFollowsTorchsFusedAdamW) {
  at::Tensor p = at::randn({1000}), g = at::randn({1000});
  for (const KernelSet* set : Sets()) {
    at::Tensor want = p.clone(), want_m = at::zeros({1000}), want_v = at::zeros({1000}),
               step = at::zeros({});
    at::Tensor got = p.clone(), m = at::zeros({1000}), v = at::zeros({1000});
    for (int t = 1; t <= 3; ++t) {
      step.add_(1);
      at::_fused_adamw_({want}, {g}, {want_m}, {want_v}, {}, {step}, 1e-2, 0.9, 0.999, 0.1, 1e-8,
                        false, false);
      const AdamStep s{
          .gradient_scale = 1,
          .decay = 1e-2f * 0.1f,
          .step_size = static_cast<float>(1e-2 / (1 - std::pow(0.9, t))),
          .root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(0.999, t)))};
      set->flat.adam(Data<float>(got), Data<float>(m), Data<float>(v), Data<float>(g), 1000, s);
    }
    EXPECT_LT(RelativeError(got, want.to(at::kDouble)), 1e-6) << set->name;
  }
}

}  // namespace
}  // namespace crossover::llm
