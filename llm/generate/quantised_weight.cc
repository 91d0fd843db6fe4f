#include "llm/generate/quantised_weight.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace crossover::llm {

namespace {

constexpr int64_t kInt4Group = 32;
// Output columns that LibTorch's int4 kernel takes at a time.
constexpr int64_t kInt4Columns = 64;
// Of CUDA's layout; the CPU's operator wants it and ignores it.
constexpr int64_t kInnerKTiles = 2;

}  // namespace

std::optional<QuantisedWeight> QuantisedWeight::Of(const at::Tensor& weight, DecodeWeights type) {
  if (type == DecodeWeights::kInt8) return Int8(weight.to(at::kFloat));
  const bool fits = weight.size(1) % kInt4Group == 0 && weight.size(0) % kInt4Columns == 0;
  if (type == DecodeWeights::kInt4 && fits) return Int4(weight.to(at::kFloat));
  return std::nullopt;
}

QuantisedWeight QuantisedWeight::Int8(const at::Tensor& weight) {
  // Rounded to bf16 first: the numbers are of the scales that are multiplied with.
  const at::Tensor scales =
      (weight.abs().amax(1) / 127.0).clamp_min(1e-20).to(at::kBFloat16).contiguous();
  const at::Tensor scale = scales.to(at::kFloat).unsqueeze(1);
  const at::Tensor rounded = (weight / scale).round().clamp(-127, 127);
  return {DecodeWeights::kInt8, rounded.to(at::kChar).contiguous(), scales,
          (rounded * scale).to(at::kBFloat16)};
}

// w = (q - 8) * scale + middle for q from 0 to 15.
QuantisedWeight QuantisedWeight::Int4(const at::Tensor& weight) {
  const int64_t out = weight.size(0), in = weight.size(1), groups = in / kInt4Group;
  const at::Tensor blocks = weight.reshape({out, groups, kInt4Group});
  const at::Tensor low = blocks.amin(2);
  const at::Tensor scale =
      ((blocks.amax(2) - low) / 15.0).clamp_min(1e-20).to(at::kBFloat16).to(at::kFloat);
  const at::Tensor middle = (low + 8 * scale).to(at::kBFloat16).to(at::kFloat);
  const at::Tensor rounded =
      ((blocks - middle.unsqueeze(2)) / scale.unsqueeze(2) + 8).round().clamp(0, 15);
  const at::Tensor values = (rounded - 8) * scale.unsqueeze(2) + middle.unsqueeze(2);
  const at::Tensor scales = at::stack({scale.t(), middle.t()}, 2).to(at::kBFloat16).contiguous();
  return {DecodeWeights::kInt4,
          at::_convert_weight_to_int4pack_for_cpu(rounded.reshape({out, in}).to(at::kInt),
                                                  kInnerKTiles),
          scales, values.reshape({out, in}).to(at::kBFloat16)};
}

at::Tensor QuantisedWeight::Multiply(const at::Tensor& x) const {
  if (type_ == DecodeWeights::kInt8) return at::_weight_int8pack_mm(x, numbers_, scales_);
  return at::_weight_int4pack_mm_for_cpu(x, numbers_, kInt4Group, scales_);
}

}  // namespace crossover::llm
