#include "llm/lora/operands.h"

#include <ATen/Functions.h>

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

}  // namespace

LowRank& Part(BlockLowRank& block, Group group) {
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

const LowRank& Part(const BlockLowRank& block, Group group) {
  return Part(const_cast<BlockLowRank&>(block), group);
}

LoraOperands::LoraOperands(const ModelConfig& config, const LoraLayout& layout,
                           const at::TensorOptions& type)
    : blocks_(layout.layers()) {
  for (int64_t layer = 0; layer < layout.layers(); ++layer) {
    for (const Group group : kAllGroups) {
      const std::vector<const LoraMatrix*> matrices = layout.MatricesOf(layer, group);
      if (matrices.empty()) continue;
      const int64_t ranks = layout.RankSum(layer, group);
      LowRank& part = Part(blocks_[layer], group);
      part.a = at::empty({ranks, matrices[0]->in}, type);
      part.b = at::zeros({StackRows(config, group), ranks}, type);
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
}

int64_t LoraOperands::bytes() const {
  int64_t sum = 0;
  for (const BlockLowRank& block : blocks_) {
    for (const Group group : kAllGroups) {
      const LowRank& part = Part(block, group);
      if (part.defined()) sum += static_cast<int64_t>(part.a.nbytes() + part.b.nbytes());
    }
  }
  return sum;
}

}  // namespace crossover::llm
