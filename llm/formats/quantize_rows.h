// Quantize over all processors.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "llm/formats/tensor_type.h"

namespace crossover::llm {

// As Quantize, for whole rows of `row` values; row ranges go to threads of their own, so the bytes
// do not depend on how many there are. Errors of Quantize.
absl::Status QuantizeRows(TensorType type, std::span<const float> values, int64_t row,
                          std::span<std::byte> out);

}  // namespace crossover::llm
