#include "llm/generate/packed_linear.h"

#include <ATen/Functions.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "llm/model/rows.h"

namespace crossover::llm {

namespace {

// The row count the layout is tuned for.
constexpr int64_t kTypicalRows = 32;

// Up to here the quantised kernels are faster: they read less, but unpack it for every four rows.
constexpr int64_t kFewRows = 4;

// Operators without a C++ header: torch/csrc and ATen/native/mkldnn,
// RegisterMkldnnOpContextClass.cpp and Linear.cpp.
//
// False without AVX-512 and AVX-NE-CONVERT: a machine that would not choose bf16 by itself.
bool OneDnnHasBf16() {
  static const bool has = c10::Dispatcher::singleton()
                              .findSchemaOrThrow("mkldnn::_is_mkldnn_bf16_supported", "")
                              .typed<bool()>()
                              .call();
  return has;
}

at::Tensor Reorder(const at::Tensor& weight) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                             .typed<at::Tensor(const at::Tensor&, std::optional<int64_t>)>();
  return op.call(weight, kTypicalRows);
}

at::Tensor Multiply(const at::Tensor& x, const at::Tensor& packed) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                            std::string_view, c10::List<std::optional<at::Scalar>>,
                            std::optional<std::string_view>)>();
  return op.call(x, packed, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace

PackedLinear::PackedLinear(const FrozenLinear& linear, DecodeWeights weights) : linear_(linear) {
  at::Tensor weight = linear.Dense();
  const bool bf16 = weight.scalar_type() == at::kBFloat16;
  if (!bf16 && weights != DecodeWeights::kDense) {
    quantised_panels_.emplace(weight, weights);
    return;
  }
  if (weights != DecodeWeights::kDense) {
    quantised_ = QuantisedWeight::Of(weight, weights);
    if (!quantised_) quantised_ = QuantisedWeight::Of(weight, DecodeWeights::kInt8);
    weight = quantised_->TakeValues();
  }
  if (PackedPanels::Here(weight.scalar_type())) {
    panels_ = PackedPanels(weight);
  } else if (bf16 && OneDnnHasBf16()) {
    packed_ = Reorder(weight);
  } else if (quantised_) {
    plain_ = weight;
  }
}

at::Tensor PackedLinear::MultiplyPlain(const at::Tensor& x) const {
  const at::Tensor weight = plain_.defined() ? plain_ : linear_.Dense();
  return at::mm(x, weight.t());
}

at::Tensor PackedLinear::Forward(const at::Tensor& x) const {
  at::Tensor y = quantised_panels_                     ? quantised_panels_->Multiply(x)
                 : quantised_ && x.size(0) <= kFewRows ? quantised_->Multiply(x)
                 : panels_.defined()                   ? panels_.Multiply(x)
                 : packed_.defined()                   ? Multiply(x, packed_)
                                                       : MultiplyPlain(x);
  if (linear_.bias.defined()) AddBiasRows(y, linear_.bias);
  return y;
}

}  // namespace crossover::llm
