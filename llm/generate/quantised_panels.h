// A matrix in 8 or 4 bits a number for models that compute in fp32, multiplied by the own kernels.
// Sees torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "llm/generate/engine.h"

namespace crossover::llm {

// Immutable and thread-safe.
class QuantisedPanels {
 public:
  // Whether this processor has the kernels; nothing else may be called otherwise.
  static bool Here();

  // `weight` [out, in] fp32.
  // int8: a scale for each row, numbers -127 to 127 (round to nearest).
  // int4: scale and minimum for each 32 numbers of a row, which gives Q4_1's blocks back. Where
  // `in` is no multiple of 32: int8.
  QuantisedPanels(const at::Tensor& weight, DecodeWeights type);

  // x W^T for x [n, in] fp32. A row's result is the same bits for any number of rows and threads.
  at::Tensor Multiply(const at::Tensor& x) const;

 private:
  void PackInt8(const at::Tensor& weight);
  void PackInt4(const at::Tensor& weight);

  DecodeWeights type_;
  int64_t out_, in_;
  at::Tensor numbers_;  // As Int8Matrix and Int4Matrix want them.
  at::Tensor scales_;
};

}  // namespace crossover::llm
