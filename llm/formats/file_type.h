// Which type each tensor of a GGUF model gets: llama-quantize's mixtures without an importance
// matrix (llama.cpp, src/llama-quant.cpp, llama_tensor_get_type).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "llm/formats/model_config.h"
#include "llm/formats/names.h"
#include "llm/formats/tensor_type.h"

namespace crossover::llm {

// The kinds of file this project writes. Values are llama.cpp's LLAMA_FTYPE_*, as
// `general.file_type` has them.
enum class GgufFileType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ8_0 = 7,
  kQ4_K_M = 15,
  kQ5_K_M = 17,
  kQ6_K = 18,
  kBf16 = 32,
};

// "F16", "Q4_K_M", … as llama-quantize spells it.
std::string_view NameOf(GgufFileType type);
// By that name, in either case; nullopt for others.
std::optional<GgufFileType> GgufFileTypeOf(std::string_view name);
// "F32, F16, BF16, Q8_0, Q4_0, Q4_K_M, Q5_K_M, Q6_K", for messages.
std::string GgufFileTypeNames();

// The type of one weight in such a file. Vectors are F32. The output matrix (the embedding where it
// is tied) is finer than the rest, and so are some layers' attn_v and ffn_down in the "M" mixtures.
// Rows that are no whole number of blocks fall back: Q4_K to Q5_0, Q5_K to Q5_1, Q6_K to Q8_0, and
// then to F16.
TensorType StoredTypeOf(GgufFileType file, const WeightSpec& weight, const ModelConfig& config);

}  // namespace crossover::llm
