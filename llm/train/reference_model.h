// A decoder with an adapter as plain operations of PyTorch, one row at a time, everything in
// double: what the hand-written gradients are tested against. Sees torch.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <vector>

#include "llm/lora/layout.h"
#include "llm/model/base_model.h"
#include "llm/model/weights.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

inline at::Tensor Double(const at::Tensor& tensor) { return tensor.to(at::kDouble).clone(); }

// Differentiable by autograd with respect to `flat` (layout.size() numbers as leaf).
class Reference {
 public:
  Reference(const BaseModel& base, const LoraLayout& layout, const at::Tensor& flat)
      : base_(base), layout_(layout), flat_(flat) {}

  // What a training step does at random; identity if not set.
  std::function<at::Tensor(const at::Tensor& embeddings)> noisy;
  std::function<at::Tensor(int64_t layer, Group group, const at::Tensor& input)> dropped;

  // Before the softmax, [ids, vocabulary].
  at::Tensor Logits(const std::vector<int32_t>& tokens) const {
    const ModelWeights& w = base_.weights();
    const ModelConfig& c = base_.config();
    const std::vector<int64_t> ids(tokens.begin(), tokens.end());
    const int64_t n = static_cast<int64_t>(ids.size());
    at::Tensor x = Double(w.embedding).index_select(0, at::tensor(ids));
    if (noisy) x = noisy(x);
    for (int64_t i = 0; i < c.layers; ++i) {
      const BlockWeights& block = w.blocks[i];
      at::Tensor qkv = Linear(block.qkv, i, Group::kQkv, Norm(x, block.attention_norm));
      x = x + Linear(block.o, i, Group::kO, Attention(qkv, block.head_norm, n));
      const at::Tensor gu = Linear(block.gate_up, i, Group::kGateUp, Norm(x, block.mlp_norm));
      const at::Tensor act = at::silu(gu.narrow(1, 0, c.intermediate_size)) *
                             gu.narrow(1, c.intermediate_size, c.intermediate_size);
      x = x + Linear(block.down, i, Group::kDown, act);
    }
    return at::matmul(Norm(x, w.final_norm), Double(w.head.weight).t());
  }

  at::Tensor WeightedLoss(const TrainRow& row) const {
    const at::Tensor logits = Logits(row.ids);
    at::Tensor loss = at::zeros({}, at::kDouble);
    for (size_t t = 1; t < row.ids.size(); ++t) {
      const double weight = row.weight * row.token_weights[t];
      if (weight == 0) continue;
      const int64_t at = static_cast<int64_t>(t) - 1;
      loss = loss - weight * at::log_softmax(logits[at], 0)[row.ids[t]];
    }
    return loss;
  }

 private:
  at::Tensor Norm(const at::Tensor& x, const at::Tensor& weight) const {
    return x * at::rsqrt(x.pow(2).mean(-1, true) + base_.config().rms_norm_eps) * Double(weight);
  }

  at::Tensor Linear(const FrozenLinear& linear, int64_t layer, Group group,
                    const at::Tensor& x) const {
    const at::Tensor w = Double(linear.weight);
    at::Tensor y = at::matmul(x, w.t());
    at::Tensor scale = at::ones({linear.out()}, at::kDouble);
    const at::Tensor input = dropped ? dropped(layer, group, x) : x;
    for (const LoraMatrix* m : layout_.MatricesOf(layer, group)) {
      const at::Tensor a = flat_.narrow(0, m->a_offset, m->a_size()).view({m->rank, m->in});
      const at::Tensor b = flat_.narrow(0, m->b_offset, m->b_size()).view({m->out, m->rank});
      const at::Tensor add = at::matmul(at::matmul(input, a.t()), b.t()) * m->scale;
      const std::vector<int64_t> around = {m->out_offset, linear.out() - m->out_offset - m->out};
      y = y + at::constant_pad_nd(add, around);
      if (!m->scaled()) continue;
      const at::Tensor magnitudes = flat_.narrow(0, m->m_offset, m->out);
      const at::Tensor v = w.narrow(0, m->out_offset, m->out) + m->scale * at::matmul(b, a);
      const at::Tensor factor = magnitudes / v.detach().norm(2, 1);
      scale = scale + at::constant_pad_nd(factor - 1, around);
    }
    y = y * scale;
    return linear.bias.defined() ? y + Double(linear.bias) : y;
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

}  // namespace crossover::llm
