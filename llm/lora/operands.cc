#include "llm/lora/operands.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

constexpr Group kAllGroups[kGroups] = {Group::kQkv, Group::kO, Group::kGateUp, Group::kDown};

template <typename T>
void AssignMatrix(const LoraMatrix& matrix, std::span<const float> values, LowRank& part) {
  const float* a = values.data() + matrix.a_offset;
  const float* b = values.data() + matrix.b_offset;
  const int64_t ranks = part.rank();
  RowKernelsOf<T>().cast(a, matrix.in, 1.0f, matrix.rank, matrix.in,
                         Data<T>(part.a) + matrix.rank_offset * matrix.in, matrix.in);
  RowKernelsOf<T>().cast(b, matrix.rank, static_cast<float>(matrix.scale), matrix.out, matrix.rank,
                         Data<T>(part.b) + matrix.out_offset * ranks + matrix.rank_offset, ranks);
}

// Weights and what is added to them have a member of the same name for each group.
template <typename Block>
auto& PartOf(Block& block, Group group) {
  switch (group) {
    case Group::kQkv:
      return block.qkv;
    case Group::kO:
      return block.o;
    case Group::kGateUp:
      return block.gate_up;
    case Group::kDown:
      break;
  }
  return block.down;
}

}  // namespace

LowRank& Part(BlockLowRank& block, Group group) { return PartOf(block, group); }

const LowRank& Part(const BlockLowRank& block, Group group) { return PartOf(block, group); }

Activations::Ranks RanksOf(const LoraLayout& layout, bool dropout) {
  return {layout.MaxRankSum(Group::kQkv),
          layout.MaxRankSum(Group::kO),
          layout.MaxRankSum(Group::kGateUp),
          layout.MaxRankSum(Group::kDown),
          layout.scaled(),
          dropout};
}

at::Tensor SquaredRowNorms(const FrozenLinear& linear) {
  return linear.Dense().to(at::kFloat).square().sum(1);
}

const FrozenLinear& Part(const BlockWeights& block, Group group) { return PartOf(block, group); }

LoraOperands::LoraOperands(const BaseModel& base, const LoraLayout& layout)
    : base_(base), blocks_(layout.layers()), squares_(layout.scaled() ? layout.layers() : 0) {
  const at::TensorOptions type = base.weights().options();
  const at::TensorOptions fp32 = type.dtype(at::kFloat);
  for (int64_t layer = 0; layer < layout.layers(); ++layer) {
    for (const Group group : kAllGroups) {
      const std::vector<const LoraMatrix*> matrices = layout.MatricesOf(layer, group);
      if (matrices.empty()) continue;
      const int64_t ranks = layout.RankSum(layer, group);
      const int64_t rows = StackRows(base.config(), group);
      LowRank& part = Part(blocks_[layer], group);
      part.a = at::empty({ranks, matrices[0]->in}, type);
      part.b = at::zeros({rows, ranks}, type);
      if (!matrices[0]->scaled()) continue;
      const FrozenLinear& linear = Part(base.weights().blocks[layer], group);
      part.column_scale = at::ones({rows}, fp32);
      part.inverse_norms = at::ones({rows}, fp32);
      if (linear.bias.defined()) part.column_shift = at::zeros({rows}, fp32);
      squares_[layer][static_cast<size_t>(group)] = SquaredRowNorms(linear);
    }
  }
}

void LoraOperands::Assign(const LoraLayout& layout, std::span<const float> values) {
  const std::vector<LoraMatrix>& matrices = layout.matrices();
  ParallelTasks(static_cast<int64_t>(matrices.size()), [&](int64_t i) {
    LowRank& part = Part(blocks_[matrices[i].layer], GroupOf(matrices[i].target));
    if (part.a.scalar_type() == at::kFloat) {
      AssignMatrix<float>(matrices[i], values, part);
    } else {
      AssignMatrix<Bf16Bits>(matrices[i], values, part);
    }
  });
  for (int64_t layer = 0; layer < static_cast<int64_t>(squares_.size()); ++layer) {
    for (const Group group : kAllGroups) AssignScales(layout, values, layer, group);
  }
}

// ||W_j + b_j A||^2 = ||W_j||^2 + 2 b_j (A W^T)_j + b_j (A A^T) b_j^T, so that W + B A never
// exists.
void LoraOperands::AssignScales(const LoraLayout& layout, std::span<const float> values,
                                int64_t layer, Group group) {
  LowRank& part = Part(blocks_[layer], group);
  if (!part.scales_columns()) return;
  const FrozenLinear& linear = Part(base_.weights().blocks[layer], group);
  at::Tensor product = at::empty({part.rank(), linear.out()}, part.a.options());
  linear.Multiply(part.a, product);
  const at::Tensor a = part.a.to(at::kFloat), b = part.b.to(at::kFloat);
  const at::Tensor norms =
      (squares_[layer][static_cast<size_t>(group)] + 2 * (b * product.t().to(at::kFloat)).sum(1) +
       (at::mm(b, at::mm(a, a.t())) * b).sum(1))
          .clamp_min(1e-30)
          .sqrt();
  const float* norm = Data<float>(norms);
  float* scale = Data<float>(part.column_scale);
  for (const LoraMatrix* matrix : layout.MatricesOf(layer, group)) {
    for (int64_t j = 0; j < matrix->out; ++j)
      scale[matrix->out_offset + j] = values[matrix->m_offset + j] / norm[matrix->out_offset + j];
  }
  part.inverse_norms.copy_(norms.reciprocal());
  if (linear.bias.defined()) part.column_shift.copy_((1 - part.column_scale) * linear.bias);
}

int64_t LoraOperands::bytes() const {
  int64_t sum = 0;
  for (const BlockLowRank& block : blocks_) {
    for (const Group group : kAllGroups) {
      const LowRank& part = Part(block, group);
      for (const at::Tensor& tensor :
           {part.a, part.b, part.column_scale, part.column_shift, part.inverse_norms}) {
        if (tensor.defined()) sum += static_cast<int64_t>(tensor.nbytes());
      }
    }
  }
  return sum;
}

}  // namespace crossover::llm
