#include "llm/train/backward.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <vector>

#include "llm/model/attention.h"
#include "llm/model/kernels.h"
#include "llm/model/products.h"
#include "llm/model/rows.h"
#include "llm/model/tile_multiply.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

// A [rows, columns] tensor at the start of a one-dimensional memory.
at::Tensor Shaped(const at::Tensor& memory, int64_t rows, int64_t columns) {
  return memory.narrow(0, 0, rows * columns).view({rows, columns});
}

}  // namespace

DecoderBackward::DecoderBackward(const BaseModel& base, const LoraLayout& layout)
    : base_(base), layout_(layout) {
  first_layer_ = base.config().layers;
  int64_t m_size = 0;
  for (const LoraMatrix& matrix : layout.matrices()) {
    dora_ = dora_ || matrix.scaled();
    m_size = std::max(m_size, StackRows(base.config(), GroupOf(matrix.target)));
    first_layer_ = std::min(first_layer_, matrix.layer);
  }
  dm_memory_ = at::empty({m_size}, base.weights().options().dtype(at::kFloat));
}

void DecoderBackward::Resize(int64_t tokens) {
  const ModelConfig& config = base_.config();
  const AttentionShape shape = AttentionShapeOf(config);
  const at::TensorOptions type = base_.weights().options();
  at::Tensor Buffers::* fields[] = {&Buffers::dx,  &Buffers::d_h,         &Buffers::d_act,
                                    &Buffers::act, &Buffers::d_attention, &Buffers::d_qkv};
  const int64_t widths[] = {config.hidden_size,       config.hidden_size, config.intermediate_size,
                            config.intermediate_size, shape.out_width(),  shape.qkv_width()};
  if (tokens > capacity_) {
    capacity_ = (tokens + 127) / 128 * 128;
    int64_t ranks = 0;
    for (const Group group : {Group::kQkv, Group::kO, Group::kGateUp, Group::kDown}) {
      ranks = std::max(ranks, layout_.MaxRankSum(group));
    }
    for (size_t i = 0; i < std::size(fields); ++i)
      memory_.*fields[i] = at::empty({capacity_, widths[i]}, type);
    dt_memory_ = at::empty({capacity_ * ranks}, type);
    if (dora_) memory_.du = at::empty({capacity_, config.hidden_size}, type);
  }
  for (const auto field : fields) view_.*field = (memory_.*field).narrow(0, 0, tokens);
  if (dora_) view_.du = memory_.du.narrow(0, 0, tokens);
}

at::Tensor& DecoderBackward::Unscaled(const Place& place, const at::Tensor& u, at::Tensor& dy,
                                      at::Tensor& to, std::span<float> gradients) {
  if (!place.low_rank.scales_columns()) return dy;
  at::Tensor dm = dm_memory_.narrow(0, 0, dy.size(1));
  ColumnDot(dy, u, place.linear.bias, dm);
  const float* sums = Data<float>(dm);
  const float* inverse_norms = Data<float>(place.low_rank.inverse_norms);
  for (const LoraMatrix* matrix : layout_.MatricesOf(place.layer, place.group)) {
    float* gradient = gradients.data() + matrix->m_offset;
    for (int64_t j = 0; j < matrix->out; ++j)
      gradient[j] += sums[matrix->out_offset + j] * inverse_norms[matrix->out_offset + j];
  }
  ScaleColumnsRows(dy, place.low_rank.column_scale, {}, to);
  return to;
}

void DecoderBackward::InputGradient(const Place& place, const at::Tensor& dy,
                                    const Activations& activations, at::Tensor* d_input) {
  const LowRank& low_rank = place.low_rank;
  if (low_rank.defined()) {
    dt_ = Shaped(dt_memory_, dy.size(0), low_rank.rank());
    Product(dy, low_rank.b, {}, {}, dt_);
  }
  if (d_input == nullptr) return;
  if (!low_rank.defined()) return place.linear.BackwardInput(dy, *d_input);
  if (!place.dropout.active()) return place.linear.BackwardInput(dy, dt_, low_rank.a, *d_input);
  place.linear.BackwardInput(dy, *d_input);
  at::Tensor through = activations.Dropped(d_input->size(1));
  Product(dt_, low_rank.a, {}, {}, through);
  AddDropoutRows(through, place.dropout, *d_input);
}

void DecoderBackward::AdapterGradients(const Place& place, const at::Tensor& input,
                                       const at::Tensor& t, const at::Tensor& dy,
                                       const Activations& activations, std::span<float> gradients) {
  if (!place.low_rank.defined()) return;
  at::Tensor used = input;
  if (place.dropout.active()) {
    used = activations.Dropped(input.size(1));
    DropoutRows(input, place.dropout, used);
  }
  const std::vector<const LoraMatrix*> matrices = layout_.MatricesOf(place.layer, place.group);
  std::vector<OuterProduct> products;
  // All dA before all dB: their p lie side by side in dt_, so that they can be one product.
  for (const LoraMatrix* matrix : matrices) {
    products.push_back({.p = dt_.narrow(1, matrix->rank_offset, matrix->rank),
                        .q = used,
                        .to = gradients.data() + matrix->a_offset,
                        .rank_stride = matrix->in});
  }
  for (const LoraMatrix* matrix : matrices) {
    products.push_back({.p = t.narrow(1, matrix->rank_offset, matrix->rank),
                        .q = dy.narrow(1, matrix->out_offset, matrix->out),
                        .to = gradients.data() + matrix->b_offset,
                        .column_stride = matrix->rank,
                        .scale = static_cast<float>(matrix->scale)});
  }
  AddOuterProducts(products, outer_memory_);
}

void DecoderBackward::BlockBackward(const Pack& pack, const LoraOperands& operands,
                                    Activations& activations, const StepNoise& noise, int64_t i,
                                    std::span<float> gradients) {
  using Input = StepNoise::Input;
  const ModelWeights& weights = base_.weights();
  const ModelConfig& config = base_.config();
  const AttentionShape shape = AttentionShapeOf(config);
  const BlockWeights& block = weights.blocks[i];
  const BlockLowRank& lora = operands.blocks()[i];
  BlockActivations& a = activations.At(i);
  Buffers& b = view_;
  const Place down{i, Group::kDown, block.down, lora.down, noise.DropoutOf(i, Input::kDown)};
  const Place gate_up{i, Group::kGateUp, block.gate_up, lora.gate_up,
                      noise.DropoutOf(i, Input::kGateUp)};
  const Place o{i, Group::kO, block.o, lora.o, noise.DropoutOf(i, Input::kO)};
  const Place qkv{i, Group::kQkv, block.qkv, lora.qkv, noise.DropoutOf(i, Input::kQkv)};

  // MLP; silu(gate) * up is computed again on the way. dx itself stays: it is the residual's.
  const at::Tensor& d_down = Unscaled(down, a.u_down, b.dx, b.du, gradients);
  InputGradient(down, d_down, activations, &b.d_act);
  SiluMulBackwardRows(a.gate_up, b.d_act, b.act);
  AdapterGradients(down, b.act, a.t_down, d_down, activations, gradients);
  Unscaled(gate_up, a.u_gate_up, a.gate_up, a.gate_up, gradients);
  InputGradient(gate_up, a.gate_up, activations, &b.d_h);
  AdapterGradients(gate_up, a.h_mlp, a.t_gate_up, a.gate_up, activations, gradients);
  RmsNormBackwardRows(a.x_mlp, block.mlp_norm, a.rstd_mlp, b.d_h, b.dx, b.dx);
  // Attention
  const at::Tensor& d_o = Unscaled(o, a.u_o, b.dx, b.du, gradients);
  InputGradient(o, d_o, activations, &b.d_attention);
  AdapterGradients(o, a.attention, a.t_o, d_o, activations, gradients);
  AttentionBackward(shape, pack, a.qkv, a.attention, a.lse, b.d_attention, b.d_qkv);
  RopeRows(b.d_qkv, config.heads + config.kv_heads, pack.positions, weights.rope, -1.0f);
  HeadNormBackwardRows(shape, block.head_norm, a.qk_before, a.rstd_qk, b.d_qkv);
  Unscaled(qkv, a.u_qkv, b.d_qkv, b.d_qkv, gradients);
  const bool last = i == first_layer_;
  InputGradient(qkv, b.d_qkv, activations, last ? nullptr : &b.d_h);
  AdapterGradients(qkv, a.h_attention, a.t_qkv, b.d_qkv, activations, gradients);
  if (!last) RmsNormBackwardRows(a.x, block.attention_norm, a.rstd_attention, b.d_h, b.dx, b.dx);
}

void DecoderBackward::Run(const Pack& pack, const LoraOperands& operands, Activations& activations,
                          at::Tensor& d_hidden, std::span<float> gradients,
                          const StepNoise& noise) {
  Resize(pack.tokens());
  view_.dx.zero_();
  RmsNormBackwardRows(activations.x_final, base_.weights().final_norm, activations.rstd_final,
                      d_hidden, view_.dx, view_.dx);
  const int64_t top = base_.config().layers - 1;
  for (int64_t i = top; i >= first_layer_; --i) {
    // The forward pass left the top block whole.
    if (activations.recompute() && i < top) {
      RecomputeBlock(base_, operands.blocks(), pack, activations, noise, i);
    }
    BlockBackward(pack, operands, activations, noise, i, gradients);
  }
}

}  // namespace crossover::llm
