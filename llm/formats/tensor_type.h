// How the numbers of a GGUF tensor are stored: ggml's type ids, block sizes and names (ggml.h, enum
// ggml_type).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace crossover::llm {

// The types this project reads. Values are ggml's.
enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBf16 = 30,
};

// Rows are sequences of blocks: `values` numbers in `bytes` bytes.
struct BlockSize {
  int64_t values;
  int64_t bytes;
};

BlockSize BlockSizeOf(TensorType type);

// "F32", "Q4_K", … as ggml spells it.
std::string_view NameOf(TensorType type);

// nullopt for an id this project does not read (IQ*, TQ*, Q2_K, …).
std::optional<TensorType> TensorTypeFromGgml(uint32_t id);

// ggml's name of any id it has defined, "unknown" for others: for messages about files we cannot
// read.
std::string_view GgmlTypeName(uint32_t id);

}  // namespace crossover::llm
