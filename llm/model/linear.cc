#include "llm/model/linear.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/rows.h"

namespace crossover::llm {

void FrozenLinear::Multiply(const at::Tensor& x, at::Tensor& y) const {
  at::mm_out(y, x, Dense().t());
}

void FrozenLinear::Forward(const at::Tensor& x, at::Tensor& y) const {
  Multiply(x, y);
  if (bias.defined()) AddBiasRows(y, bias);
}

void FrozenLinear::BackwardInput(const at::Tensor& dy, at::Tensor& dx) const {
  at::mm_out(dx, dy, Dense());
}

void LowRankInput(const LowRank& low_rank, const at::Tensor& x, const Dropout& dropout,
                  at::Tensor& scratch, at::Tensor& t) {
  if (!low_rank.defined()) return;
  // Its memory is that of the layer with most ranks.
  if (t.size(1) != low_rank.rank())
    t = t.as_strided({x.size(0), low_rank.rank()}, {low_rank.rank(), 1});
  if (dropout.active()) DropoutRows(x, dropout, scratch);
  at::mm_out(t, dropout.active() ? scratch : x, low_rank.a.t());
}

void ForwardWithLowRank(const FrozenLinear& linear, const LowRank& low_rank, const at::Tensor& x,
                        const Dropout& dropout, at::Tensor& scratch, at::Tensor& t, at::Tensor& u,
                        at::Tensor& y) {
  at::Tensor& sum = low_rank.scales_columns() ? u : y;
  linear.Forward(x, sum);
  if (!low_rank.defined()) return;
  LowRankInput(low_rank, x, dropout, scratch, t);
  sum.addmm_(t, low_rank.b.t());
  if (low_rank.scales_columns())
    ScaleColumnsRows(u, low_rank.column_scale, low_rank.column_shift, y);
}

}  // namespace crossover::llm
