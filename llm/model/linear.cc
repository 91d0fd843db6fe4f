#include "llm/model/linear.h"

#include "llm/model/kernels.h"
#include "llm/model/products.h"
#include "llm/model/rows.h"

namespace crossover::llm {

void FrozenLinear::Multiply(const at::Tensor& x, at::Tensor& y) const {
  ProductTransposed(x, Dense(), {}, {}, y);
}

void FrozenLinear::Forward(const at::Tensor& x, at::Tensor& y) const { Forward(x, {}, {}, y); }

void FrozenLinear::Forward(const at::Tensor& x, const at::Tensor& t, const at::Tensor& b,
                           at::Tensor& y) const {
  ProductTransposed(x, Dense(), t, b, y);
  if (bias.defined()) AddBiasRows(y, bias);
}

void FrozenLinear::BackwardInput(const at::Tensor& dy, at::Tensor& dx) const {
  BackwardInput(dy, {}, {}, dx);
}

void FrozenLinear::BackwardInput(const at::Tensor& dy, const at::Tensor& dt, const at::Tensor& a,
                                 at::Tensor& dx) const {
  Product(dy, Dense(), dt, a, dx);
}

void LowRankInput(const LowRank& low_rank, const at::Tensor& x, const Dropout& dropout,
                  at::Tensor& scratch, at::Tensor& t) {
  if (!low_rank.defined()) return;
  // Its memory is that of the layer with most ranks.
  if (t.size(1) != low_rank.rank())
    t = t.as_strided({x.size(0), low_rank.rank()}, {low_rank.rank(), 1});
  if (dropout.active()) DropoutRows(x, dropout, scratch);
  ProductTransposed(dropout.active() ? scratch : x, low_rank.a, {}, {}, t);
}

void ForwardWithLowRank(const FrozenLinear& linear, const LowRank& low_rank, const at::Tensor& x,
                        const Dropout& dropout, at::Tensor& scratch, at::Tensor& t, at::Tensor& u,
                        at::Tensor& y) {
  at::Tensor& sum = low_rank.scales_columns() ? u : y;
  if (!low_rank.defined()) return linear.Forward(x, sum);
  LowRankInput(low_rank, x, dropout, scratch, t);
  linear.Forward(x, t, low_rank.b, sum);
  if (low_rank.scales_columns())
    ScaleColumnsRows(u, low_rank.column_scale, low_rank.column_shift, y);
}

}  // namespace crossover::llm
