#include "llm/generate/adapter_weights.h"

#include <ATen/Functions.h>

#include <algorithm>

#include "llm/lora/operands.h"
#include "llm/model/attention_dispatch.h"
#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/rows.h"

namespace crossover::llm {

namespace {

using GroupWeights = AdapterWeights::GroupWeights;

// Rows that one task computes: A and B of an adapter are read once for them.
constexpr int64_t kRowsOfTask = 16;

constexpr Group kGroupsOfBlock[kGroups] = {Group::kQkv, Group::kO, Group::kGateUp, Group::kDown};

// Rows of one task, all with the same adapter.
struct LowRankTask {
  int64_t begin = 0;
  int64_t end = 0;
  const GroupWeights* weights = nullptr;
  float share = 1;
};

template <typename T>
void CopyMatrix(const LoraMatrix& matrix, const std::vector<float>& values, GroupWeights& group) {
  const float* a = values.data() + matrix.a_offset;
  const float* b = values.data() + matrix.b_offset;
  const RowKernels<T>& kernels = RowKernelsOf<T>();
  kernels.cast(a, matrix.in, 1.0f, matrix.rank, matrix.in,
               Data<T>(group.a) + matrix.rank_offset * matrix.in, matrix.in);
  AdapterWeights::Output& output = group.outputs.emplace_back();
  output.rank_offset = matrix.rank_offset;
  output.column = matrix.out_offset;
  output.b = at::empty({matrix.rank, matrix.out}, group.a.options());
  std::vector<float> row(static_cast<size_t>(matrix.out));
  for (int64_t r = 0; r < matrix.rank; ++r) {
    for (int64_t j = 0; j < matrix.out; ++j) row[j] = b[j * matrix.rank + r];
    kernels.cast(row.data(), matrix.out, static_cast<float>(matrix.scale), 1, matrix.out,
                 Data<T>(output.b) + r * matrix.out, matrix.out);
  }
}

template <typename T>
void RunTask(const LowRankTask& task, const at::Tensor& x, at::Tensor& y) {
  const RowKernels<T>& kernels = RowKernelsOf<T>();
  const int64_t rows = task.end - task.begin;
  const int64_t ranks = task.weights->a.size(0), in = task.weights->a.size(1), out = y.size(1);
  thread_local Scratch<float> memory;
  float* t = memory.Get(rows * ranks);
  kernels.low_rank_in(Data<T>(x) + task.begin * in, in, Data<T>(task.weights->a), rows, ranks, in,
                      t);
  for (const AdapterWeights::Output& output : task.weights->outputs) {
    kernels.low_rank_out(t + output.rank_offset, ranks, Data<T>(output.b), task.share, rows,
                         output.b.size(0), output.b.size(1),
                         Data<T>(y) + task.begin * out + output.column, out);
  }
}

// DoRA stands alone on its rows, after its own addition.
void ScaleOutputs(const std::vector<AdapterRows>& adapters, size_t layer, Group group,
                  at::Tensor& y) {
  for (const AdapterRows& rows : adapters) {
    for (const AdapterShare& share : rows.shares) {
      const GroupWeights& weights = share.weights->Of(layer, group);
      if (!weights.column_scale.defined()) continue;
      at::Tensor part = y.narrow(0, rows.begin, rows.end - rows.begin);
      ScaleColumnsRows(part, weights.column_scale, weights.column_shift, part);
    }
  }
}

}  // namespace

AdapterWeights::AdapterWeights(const BaseModel& base, const LoraAdapter& adapter)
    : blocks_(adapter.layout.layers()), linear_(!adapter.layout.scaled()) {
  const at::TensorOptions type = base.weights().options();
  for (const LoraMatrix& matrix : adapter.layout.matrices()) {
    const Group group = GroupOf(matrix.target);
    GroupWeights& weights = blocks_[matrix.layer][static_cast<size_t>(group)];
    if (!weights.a.defined())
      weights.a = at::empty({adapter.layout.RankSum(matrix.layer, group), matrix.in}, type);
    if (type.dtype() == at::kFloat) {
      CopyMatrix<float>(matrix, adapter.values, weights);
    } else {
      CopyMatrix<Bf16Bits>(matrix, adapter.values, weights);
    }
  }
  if (linear_) return;
  LoraOperands operands(base, adapter.layout);
  operands.Assign(adapter.layout, adapter.values);
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    for (const Group group : kGroupsOfBlock) {
      const LowRank& part = Part(operands.blocks()[layer], group);
      blocks_[layer][static_cast<size_t>(group)].column_scale = part.column_scale;
      blocks_[layer][static_cast<size_t>(group)].column_shift = part.column_shift;
    }
  }
}

int64_t AdapterWeights::bytes() const {
  int64_t sum = 0;
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined()) sum += static_cast<int64_t>(tensor.nbytes());
  };
  for (const auto& block : blocks_) {
    for (const GroupWeights& group : block) {
      add(group.a);
      add(group.column_scale);
      add(group.column_shift);
      for (const Output& output : group.outputs) add(output.b);
    }
  }
  return sum;
}

void AddAdapters(const std::vector<AdapterRows>& adapters, size_t layer, Group group,
                 const at::Tensor& x, at::Tensor& y) {
  std::vector<std::vector<LowRankTask>> chunks;  // What is added to the same rows, in order.
  for (const AdapterRows& rows : adapters) {
    for (int64_t begin = rows.begin; begin < rows.end; begin += kRowsOfTask) {
      std::vector<LowRankTask> chunk;
      for (const AdapterShare& share : rows.shares) {
        const GroupWeights& weights = share.weights->Of(layer, group);
        if (!weights.a.defined()) continue;
        chunk.push_back({begin, std::min(rows.end, begin + kRowsOfTask), &weights, share.weight});
      }
      if (!chunk.empty()) chunks.push_back(std::move(chunk));
    }
  }
  if (chunks.empty()) return;
  ParallelTasks(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    for (const LowRankTask& task : chunks[i]) {
      if (y.scalar_type() == at::kFloat) {
        RunTask<float>(task, x, y);
      } else {
        RunTask<Bf16Bits>(task, x, y);
      }
    }
  });
  ScaleOutputs(adapters, layer, group, y);
}

}  // namespace crossover::llm
