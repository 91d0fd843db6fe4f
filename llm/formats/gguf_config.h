// Writes the hyper-parameters of a model under GGUF's keys: the reverse of ModelConfig::FromGguf.
#pragma once

#include "absl/status/status.h"
#include "llm/formats/gguf_writer.h"
#include "llm/formats/model_config.h"

namespace crossover::llm {

// Architecture, sizes and RoPE, as llama.cpp's converter writes them. Unimplemented
// MODEL_UNSUPPORTED: RoPE divisors that are not one factor with an architecture other than llama,
// for which llama.cpp reads none. Errors of GgufWriter.
absl::Status AddModelConfig(const ModelConfig& config, GgufWriter& writer);

// rope_freqs.weight with its data, where the RoPE divisors are not one factor, which is a key. As
// data follow all metadata, so does this call.
absl::Status AddRopeDivisors(const ModelConfig& config, GgufWriter& writer);

}  // namespace crossover::llm
