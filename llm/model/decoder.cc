#include "llm/model/decoder.h"

#include <ATen/Functions.h>

#include <algorithm>

#include "llm/model/attention.h"
#include "llm/model/rows.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

int64_t HeadNormWidth(const ModelConfig& config) {
  return config.qk_norm ? (config.heads + config.kv_heads) * config.head_dim : 0;
}

// Widths of a block's tensors in the order of Fields().
std::vector<int64_t> Widths(const ModelConfig& config, const Activations::Ranks& ranks) {
  const AttentionShape shape = AttentionShapeOf(config);
  const int64_t hidden = config.hidden_size;
  const int64_t dora = ranks.dora ? 1 : 0;
  return {hidden,
          hidden,
          shape.qkv_width(),
          HeadNormWidth(config),
          shape.out_width(),
          hidden,
          hidden,
          2 * config.intermediate_size,
          ranks.qkv,
          ranks.o,
          ranks.gate_up,
          ranks.down,
          dora * shape.qkv_width(),
          dora * hidden,
          dora * 2 * config.intermediate_size,
          dora * hidden};
}

// x comes first.
std::vector<at::Tensor*> Fields(BlockActivations& block) {
  return {&block.x,         &block.h_attention, &block.qkv,       &block.qk_before,
          &block.attention, &block.x_mlp,       &block.h_mlp,     &block.gate_up,
          &block.t_qkv,     &block.t_o,         &block.t_gate_up, &block.t_down,
          &block.u_qkv,     &block.u_o,         &block.u_gate_up, &block.u_down};
}

int64_t WidestInput(const ModelConfig& config) {
  return std::max(
      {config.hidden_size, config.intermediate_size, AttentionShapeOf(config).out_width()});
}

// One forward pass, block by block.
struct Pass {
  const BaseModel& base;
  const std::vector<BlockLowRank>& low_rank;
  const Pack& pack;
  const StepNoise& noise;
  Activations& activations;

  const BlockLowRank& LowRankOf(int64_t i) const {
    static const BlockLowRank kNone;
    return low_rank.empty() ? kNone : low_rank[i];
  }
};

using Input = StepNoise::Input;

void Linear(const Pass& pass, int64_t i, Input input, const FrozenLinear& linear,
            const LowRank& low_rank, const at::Tensor& x, at::Tensor& t, at::Tensor& u,
            at::Tensor& y) {
  const Dropout dropout = pass.noise.DropoutOf(i, input);
  at::Tensor dropped = dropout.active() ? pass.activations.Dropped(x.size(1)) : at::Tensor();
  ForwardWithLowRank(linear, low_rank, x, dropout, dropped, t, u, y);
}

// From h_attention to gate_up and act.
void BlockInside(const Pass& pass, int64_t i) {
  const ModelConfig& config = pass.base.config();
  const AttentionShape shape = AttentionShapeOf(config);
  const BlockWeights& block = pass.base.weights().blocks[i];
  const BlockLowRank& lora = pass.LowRankOf(i);
  BlockActivations& a = pass.activations.At(i);
  at::Tensor& delta = pass.activations.delta;
  const double eps = config.rms_norm_eps;
  Linear(pass, i, Input::kQkv, block.qkv, lora.qkv, a.h_attention, a.t_qkv, a.u_qkv, a.qkv);
  HeadNormRows(shape, block.head_norm, eps, a.qkv, a.qk_before, a.rstd_qk);
  RopeRows(a.qkv, config.heads + config.kv_heads, pass.pack.positions, pass.base.weights().rope,
           1.0f);
  AttentionForward(shape, pass.pack, a.qkv, a.attention, a.lse);
  Linear(pass, i, Input::kO, block.o, lora.o, a.attention, a.t_o, a.u_o, delta);
  AddRmsNormRows(a.x, delta, block.mlp_norm, eps, a.x_mlp, a.h_mlp, a.rstd_mlp);
  Linear(pass, i, Input::kGateUp, block.gate_up, lora.gate_up, a.h_mlp, a.t_gate_up, a.u_gate_up,
         a.gate_up);
  SiluMulRows(a.gate_up, pass.activations.act);
}

// The block's last layer: from act to delta.
void BlockOutput(const Pass& pass, int64_t i) {
  BlockActivations& a = pass.activations.At(i);
  Linear(pass, i, Input::kDown, pass.base.weights().blocks[i].down, pass.LowRankOf(i).down,
         pass.activations.act, a.t_down, a.u_down, pass.activations.delta);
}

}  // namespace

Activations::Activations(const BaseModel& base, Ranks ranks, bool keep, bool recompute)
    : base_(base),
      ranks_(ranks),
      keep_(keep),
      recompute_(keep && recompute),
      blocks_(keep && !recompute ? base.config().layers : 1) {}

void Activations::Allocate(int64_t capacity) {
  capacity_ = capacity;
  views_.clear();
  memory_.clear();
  const ModelConfig& config = base_.config();
  const at::TensorOptions type = base_.weights().options();
  const at::TensorOptions fp32 = type.dtype(at::kFloat);
  const auto add = [&](at::Tensor& view, int64_t width, const at::TensorOptions& options) {
    view = at::Tensor();
    if (width == 0) return;
    views_.push_back(&view);
    memory_.push_back(at::empty({capacity, width}, options));
  };
  const std::vector<int64_t> widths = Widths(config, ranks_);
  for (BlockActivations& block : blocks_) {
    const std::vector<at::Tensor*> fields = Fields(block);
    for (size_t i = recompute_ ? 1 : 0; i < fields.size(); ++i) add(*fields[i], widths[i], type);
    add(block.lse, config.heads, fp32);
    add(block.rstd_attention, 1, fp32);
    add(block.rstd_qk, config.qk_norm ? config.heads + config.kv_heads : 0, fp32);
    add(block.rstd_mlp, 1, fp32);
  }
  inputs_.resize(recompute_ ? config.layers : 0);
  for (at::Tensor& input : inputs_) add(input, config.hidden_size, type);
  add(act, config.intermediate_size, type);
  add(delta, config.hidden_size, type);
  add(x_final, config.hidden_size, type);
  add(h_final, config.hidden_size, type);
  add(rstd_final, 1, fp32);
  if (ranks_.dropout) dropped_ = at::empty({capacity * WidestInput(config)}, type);
}

void Activations::Resize(int64_t tokens) {
  tokens_ = tokens;
  if (tokens > capacity_) Allocate((tokens + 127) / 128 * 128);
  for (size_t i = 0; i < views_.size(); ++i) *views_[i] = memory_[i].narrow(0, 0, tokens);
}

BlockActivations& Activations::At(int64_t i) {
  if (recompute_) blocks_[0].x = inputs_[i];
  return blocks_[blocks_.size() == 1 ? 0 : i];
}

at::Tensor Activations::Dropped(int64_t width) const {
  return dropped_.narrow(0, 0, tokens_ * width).view({tokens_, width});
}

int64_t Activations::BytesPerToken(const ModelConfig& config, const Execution& execution,
                                   Ranks ranks, bool keep, bool recompute) {
  int64_t block = 0;
  for (const int64_t width : Widths(config, ranks)) block += width;
  const int64_t item = execution.bf16() ? 2 : 4;
  const int64_t per_block = block * item + 4 * (config.heads + 2) +
                            (config.qk_norm ? 4 * (config.heads + config.kv_heads) : 0);
  const int64_t blocks = keep && !recompute ? config.layers : 1;
  // The shared block of a recomputing pass has one input of its own fewer.
  const int64_t inputs = keep && recompute ? item * config.hidden_size * (config.layers - 1) : 0;
  const int64_t dropped = ranks.dropout ? item * WidestInput(config) : 0;
  return per_block * blocks + inputs + dropped +
         item * (config.intermediate_size + 3 * config.hidden_size) + 4;
}

void DecoderForward(const BaseModel& base, const std::vector<BlockLowRank>& low_rank,
                    const Pack& pack, Activations& activations, const StepNoise& noise) {
  const ModelWeights& weights = base.weights();
  const double eps = base.config().rms_norm_eps;
  const int64_t layers = base.config().layers;
  const Pass pass{base, low_rank, pack, noise, activations};
  activations.Resize(pack.tokens());
  BlockActivations& first = activations.At(0);
  EmbedTokens(weights, pack.ids.data(), pack.tokens(), first.x);
  if (noise.neftune > 0) AddEmbeddingNoise(pack, noise, first.x);
  RmsNormRows(first.x, weights.blocks[0].attention_norm, eps, first.h_attention,
              first.rstd_attention);
  for (int64_t i = 0; i < layers; ++i) {
    BlockInside(pass, i);
    BlockOutput(pass, i);
    const at::Tensor x_mlp = activations.At(i).x_mlp;
    if (i + 1 < layers) {
      BlockActivations& next = activations.At(i + 1);
      AddRmsNormRows(x_mlp, activations.delta, weights.blocks[i + 1].attention_norm, eps, next.x,
                     next.h_attention, next.rstd_attention);
    } else {
      AddRmsNormRows(x_mlp, activations.delta, weights.final_norm, eps, activations.x_final,
                     activations.h_final, activations.rstd_final);
    }
  }
}

void RecomputeBlock(const BaseModel& base, const std::vector<BlockLowRank>& low_rank,
                    const Pack& pack, Activations& activations, const StepNoise& noise, int64_t i) {
  const Pass pass{base, low_rank, pack, noise, activations};
  const BlockWeights& block = base.weights().blocks[i];
  BlockActivations& a = activations.At(i);
  RmsNormRows(a.x, block.attention_norm, base.config().rms_norm_eps, a.h_attention,
              a.rstd_attention);
  BlockInside(pass, i);
  const LowRank& down = pass.LowRankOf(i).down;
  if (down.scales_columns()) {
    BlockOutput(pass, i);
  } else if (down.defined()) {
    const Dropout dropout = noise.DropoutOf(i, Input::kDown);
    at::Tensor dropped =
        dropout.active() ? activations.Dropped(activations.act.size(1)) : at::Tensor();
    LowRankInput(down, activations.act, dropout, dropped, a.t_down);
  }
}

}  // namespace crossover::llm
