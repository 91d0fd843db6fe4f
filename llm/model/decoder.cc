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
          ranks.down};
}

std::vector<at::Tensor*> Fields(BlockActivations& block) {
  return {&block.x,         &block.h_attention, &block.qkv,       &block.qk_before,
          &block.attention, &block.x_mlp,       &block.h_mlp,     &block.gate_up,
          &block.t_qkv,     &block.t_o,         &block.t_gate_up, &block.t_down};
}

}  // namespace

Activations::Activations(const BaseModel& base, Ranks ranks, bool keep)
    : blocks(keep ? base.config().layers : 1), base_(base), ranks_(ranks), keep_(keep) {}

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
  for (BlockActivations& block : blocks) {
    const std::vector<at::Tensor*> fields = Fields(block);
    for (size_t i = 0; i < fields.size(); ++i) add(*fields[i], widths[i], type);
    add(block.lse, config.heads, fp32);
    add(block.rstd_attention, 1, fp32);
    add(block.rstd_qk, config.qk_norm ? config.heads + config.kv_heads : 0, fp32);
    add(block.rstd_mlp, 1, fp32);
  }
  add(act, config.intermediate_size, type);
  add(delta, config.hidden_size, type);
  add(x_final, config.hidden_size, type);
  add(h_final, config.hidden_size, type);
  add(rstd_final, 1, fp32);
}

void Activations::Resize(int64_t tokens) {
  if (tokens > capacity_) Allocate((tokens + 127) / 128 * 128);
  for (size_t i = 0; i < views_.size(); ++i) *views_[i] = memory_[i].narrow(0, 0, tokens);
}

int64_t Activations::BytesPerToken(const ModelConfig& config, const Execution& execution,
                                   Ranks ranks, bool keep) {
  int64_t block = 0;
  for (const int64_t width : Widths(config, ranks)) block += width;
  const int64_t item = execution.bf16() ? 2 : 4;
  const int64_t per_block = block * item + 4 * (config.heads + 2) +
                            (config.qk_norm ? 4 * (config.heads + config.kv_heads) : 0);
  return per_block * (keep ? config.layers : 1) +
         item * (config.intermediate_size + 3 * config.hidden_size) + 4;
}

void DecoderForward(const BaseModel& base, const std::vector<BlockLowRank>& low_rank,
                    const Pack& pack, Activations& activations) {
  const ModelWeights& weights = base.weights();
  const ModelConfig& config = base.config();
  const AttentionShape shape = AttentionShapeOf(config);
  const double eps = config.rms_norm_eps;
  static const BlockLowRank kNone;
  activations.Resize(pack.tokens());
  const bool shared = activations.blocks.size() < weights.blocks.size();
  const auto block_of = [&](size_t i) -> BlockActivations& {
    return activations.blocks[shared ? 0 : i];
  };

  EmbedTokens(weights, pack.ids.data(), pack.tokens(), block_of(0).x);
  RmsNormRows(block_of(0).x, weights.blocks[0].attention_norm, eps, block_of(0).h_attention,
              block_of(0).rstd_attention);
  for (size_t i = 0; i < weights.blocks.size(); ++i) {
    const BlockWeights& block = weights.blocks[i];
    const BlockLowRank& lora = low_rank.empty() ? kNone : low_rank[i];
    BlockActivations& a = block_of(i);
    ForwardWithLowRank(block.qkv, lora.qkv, a.h_attention, a.t_qkv, a.qkv);
    HeadNormRows(shape, block.head_norm, eps, a.qkv, a.qk_before, a.rstd_qk);
    RopeRows(a.qkv, config.heads + config.kv_heads, pack.positions, weights.rope, 1.0f);
    AttentionForward(shape, pack, a.qkv, a.attention, a.lse);
    ForwardWithLowRank(block.o, lora.o, a.attention, a.t_o, activations.delta);
    AddRmsNormRows(a.x, activations.delta, block.mlp_norm, eps, a.x_mlp, a.h_mlp, a.rstd_mlp);
    ForwardWithLowRank(block.gate_up, lora.gate_up, a.h_mlp, a.t_gate_up, a.gate_up);
    SiluMulRows(a.gate_up, activations.act);
    ForwardWithLowRank(block.down, lora.down, activations.act, a.t_down, activations.delta);
    if (i + 1 < weights.blocks.size()) {
      BlockActivations& next = block_of(i + 1);
      AddRmsNormRows(a.x_mlp, activations.delta, weights.blocks[i + 1].attention_norm, eps, next.x,
                     next.h_attention, next.rstd_attention);
    } else {
      AddRmsNormRows(a.x_mlp, activations.delta, weights.final_norm, eps, activations.x_final,
                     activations.h_final, activations.rstd_final);
    }
  }
}

}  // namespace crossover::llm
