// Frozen linear layers laid out once for the kernels that multiply with them, so that a product of
// few rows does not lay the weights out again. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "llm/generate/quantised_panels.h"
#include "llm/generate/quantised_weight.h"
#include "llm/model/linear.h"
#include "llm/model/products.h"

namespace crossover::llm {

// In panels for the own kernels where there are any (PackedPanels::Here), else bf16 as oneDNN likes
// it where it computes in bf16; a row's result is then the same bits for any number of rows. The
// rest stays plain. With int8 or int4 in bf16, up to four rows are multiplied by LibTorch's
// kernels, which round apart from the others.
class PackedLinear {
 public:
  // Borrows `linear`, whose bias it uses, and its weight where that stays plain. Other than kDense
  // in fp32: where QuantisedPanels are Here.
  explicit PackedLinear(const FrozenLinear& linear, DecodeWeights weights = DecodeWeights::kDense);

  // y [n, out] = x W^T + bias. The result may share no memory with earlier ones.
  at::Tensor Forward(const at::Tensor& x) const;

 private:
  at::Tensor MultiplyPlain(const at::Tensor& x) const;

  const FrozenLinear& linear_;
  at::Tensor packed_;    // oneDNN's. Undefined: plain, or `panels_`.
  PackedPanels panels_;  // Empty: plain, or `packed_`.
  at::Tensor plain_;     // Quantised numbers that stay plain. Undefined: `linear_`'s own.
  // fp32: for all products; nothing else is held then.
  std::optional<QuantisedPanels> quantised_panels_;
  // bf16: for products of few rows; the others then hold the same numbers.
  std::optional<QuantisedWeight> quantised_;
};

}  // namespace crossover::llm
