#include "llm/model/linear.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/rows.h"

namespace crossover::llm {

void FrozenLinear::Forward(const at::Tensor& x, at::Tensor& y) const {
  at::mm_out(y, x, Dense().t());
  if (bias.defined()) AddBiasRows(y, bias);
}

void FrozenLinear::BackwardInput(const at::Tensor& dy, at::Tensor& dx) const {
  at::mm_out(dx, dy, Dense());
}

void ForwardWithLowRank(const FrozenLinear& linear, const LowRank& low_rank, const at::Tensor& x,
                        at::Tensor& t, at::Tensor& y) {
  linear.Forward(x, y);
  if (!low_rank.defined()) return;
  at::mm_out(t, x, low_rank.a.t());
  y.addmm_(t, low_rank.b.t());
}

}  // namespace crossover::llm
