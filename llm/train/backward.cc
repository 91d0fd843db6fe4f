#include "llm/train/backward.h"

#include <ATen/Functions.h>

#include <algorithm>

#include "llm/model/attention.h"
#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/rows.h"
#include "llm/model/tile_multiply.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

// A [rows, columns] tensor at the start of a one-dimensional memory.
at::Tensor Shaped(const at::Tensor& memory, int64_t rows, int64_t columns) {
  return memory.narrow(0, 0, rows * columns).view({rows, columns});
}

template <typename T>
void AddTo(const at::Tensor& gradient, int64_t first, int64_t ld, float scale, int64_t rows,
           int64_t columns, float* to) {
  const T* from = Data<T>(gradient) + first;
  ParallelRanges(rows, 64, [&](int64_t begin, int64_t end) {
    RowKernelsOf<T>().accumulate(from + begin * ld, ld, scale, end - begin, columns,
                                 to + begin * columns, columns);
  });
}

}  // namespace

DecoderBackward::DecoderBackward(const BaseModel& base, const LoraLayout& layout)
    : base_(base), layout_(layout) {
  first_layer_ = base.config().layers;
  int64_t a_size = 0, b_size = 0;
  for (const LoraMatrix& matrix : layout.matrices()) {
    first_layer_ = std::min(first_layer_, matrix.layer);
    const int64_t ranks = layout.RankSum(matrix.layer, GroupOf(matrix.target));
    a_size = std::max(a_size, ranks * matrix.in);
    b_size = std::max(b_size, matrix.b_size());
  }
  const at::TensorOptions type = base.weights().options();
  da_memory_ = at::empty({a_size}, type);
  db_memory_ = at::empty({b_size}, type);
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
  }
  for (const auto field : fields) view_.*field = (memory_.*field).narrow(0, 0, tokens);
}

void DecoderBackward::AddGradient(const at::Tensor& gradient, int64_t ld, float scale, int64_t rows,
                                  int64_t columns, int64_t first, float* to) {
  if (gradient.scalar_type() == at::kFloat) {
    AddTo<float>(gradient, first, ld, scale, rows, columns, to);
  } else {
    AddTo<Bf16Bits>(gradient, first, ld, scale, rows, columns, to);
  }
}

void DecoderBackward::InputGradient(const FrozenLinear& linear, const LowRank& low_rank,
                                    const at::Tensor& dy, at::Tensor* d_input) {
  if (d_input != nullptr) linear.BackwardInput(dy, *d_input);
  if (!low_rank.defined()) return;
  dt_ = Shaped(dt_memory_, dy.size(0), low_rank.rank());
  at::mm_out(dt_, dy, low_rank.b);
  if (d_input != nullptr) d_input->addmm_(dt_, low_rank.a);
}

void DecoderBackward::AdapterGradients(int64_t layer, Group group, const LowRank& low_rank,
                                       const at::Tensor& input, const at::Tensor& t,
                                       const at::Tensor& dy, std::span<float> gradients) {
  if (!low_rank.defined()) return;
  at::Tensor da = Shaped(da_memory_, low_rank.rank(), input.size(1));
  at::mm_out(da, dt_.t(), input);
  for (const LoraMatrix* matrix : layout_.MatricesOf(layer, group)) {
    AddGradient(da, matrix->in, 1.0f, matrix->rank, matrix->in, matrix->rank_offset * matrix->in,
                gradients.data() + matrix->a_offset);
    at::Tensor db = Shaped(db_memory_, matrix->out, matrix->rank);
    at::mm_out(db, dy.narrow(1, matrix->out_offset, matrix->out).t(),
               t.narrow(1, matrix->rank_offset, matrix->rank));
    AddGradient(db, matrix->rank, static_cast<float>(matrix->scale), matrix->out, matrix->rank, 0,
                gradients.data() + matrix->b_offset);
  }
}

void DecoderBackward::Run(const Pack& pack, const LoraOperands& operands, Activations& activations,
                          at::Tensor& d_hidden, std::span<float> gradients) {
  const ModelWeights& weights = base_.weights();
  const ModelConfig& config = base_.config();
  const AttentionShape shape = AttentionShapeOf(config);
  Resize(pack.tokens());
  Buffers& b = view_;
  b.dx.zero_();
  RmsNormBackwardRows(activations.x_final, weights.final_norm, activations.rstd_final, d_hidden,
                      b.dx, b.dx);
  for (int64_t i = config.layers - 1; i >= first_layer_; --i) {
    const BlockWeights& block = weights.blocks[i];
    const BlockLowRank& lora = operands.blocks()[i];
    BlockActivations& a = activations.blocks[i];
    // MLP; silu(gate) * up is computed again on the way.
    InputGradient(block.down, lora.down, b.dx, &b.d_act);
    SiluMulBackwardRows(a.gate_up, b.d_act, b.act);
    AdapterGradients(i, Group::kDown, lora.down, b.act, a.t_down, b.dx, gradients);
    InputGradient(block.gate_up, lora.gate_up, a.gate_up, &b.d_h);
    AdapterGradients(i, Group::kGateUp, lora.gate_up, a.h_mlp, a.t_gate_up, a.gate_up, gradients);
    RmsNormBackwardRows(a.x_mlp, block.mlp_norm, a.rstd_mlp, b.d_h, b.dx, b.dx);
    // Attention
    InputGradient(block.o, lora.o, b.dx, &b.d_attention);
    AdapterGradients(i, Group::kO, lora.o, a.attention, a.t_o, b.dx, gradients);
    AttentionBackward(shape, pack, a.qkv, a.attention, a.lse, b.d_attention, b.d_qkv);
    RopeRows(b.d_qkv, config.heads + config.kv_heads, pack.positions, weights.rope, -1.0f);
    HeadNormBackwardRows(shape, block.head_norm, a.qk_before, a.rstd_qk, b.d_qkv);
    const bool last = i == first_layer_;
    InputGradient(block.qkv, lora.qkv, b.d_qkv, last ? nullptr : &b.d_h);
    AdapterGradients(i, Group::kQkv, lora.qkv, a.h_attention, a.t_qkv, b.d_qkv, gradients);
    if (!last) RmsNormBackwardRows(a.x, block.attention_norm, a.rstd_attention, b.d_h, b.dx, b.dx);
  }
}

}  // namespace crossover::llm
