// A matrix in 8 or 4 bits a number, multiplied by LibTorch's packed kernels: what a step with few
// rows reads. Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>

#include "llm/generate/engine.h"

namespace crossover::llm {

// Immutable.
class QuantisedWeight {
 public:
  // `weight` [out, in], any number type.
  // int8: a scale for each row, numbers -127 to 127 (round to nearest).
  // int4: scale and minimum for each 32 numbers of a row, which gives Q4_1's blocks back. Nothing
  // if LibTorch's kernel does not take this shape: in a multiple of 32, out one of 64.
  static std::optional<QuantisedWeight> Of(const at::Tensor& weight, DecodeWeights type);

  // x W^T for x [n, in] bf16, n small.
  at::Tensor Multiply(const at::Tensor& x) const;
  // The numbers it stands for, [out, in] bf16. Once: they are not kept.
  at::Tensor TakeValues() { return std::exchange(values_, at::Tensor()); }

 private:
  QuantisedWeight(DecodeWeights type, at::Tensor numbers, at::Tensor scales, at::Tensor values)
      : type_(type),
        numbers_(std::move(numbers)),
        scales_(std::move(scales)),
        values_(std::move(values)) {}

  static QuantisedWeight Int8(const at::Tensor& weight);
  static QuantisedWeight Int4(const at::Tensor& weight);

  DecodeWeights type_;
  at::Tensor numbers_;  // As the kernel takes them.
  at::Tensor scales_;   // int8: [out]; int4: [in / 32, out, 2], scale and middle; bf16.
  at::Tensor values_;
};

}  // namespace crossover::llm
