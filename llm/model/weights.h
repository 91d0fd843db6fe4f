// The frozen tensors of a decoder. Sees torch; private to model, lora, train and generate.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/model_config.h"
#include "llm/model/attention.h"
#include "llm/model/execution.h"
#include "llm/model/head_norm.h"
#include "llm/model/linear.h"
#include "llm/model/rows.h"

namespace crossover::llm {

struct BlockWeights {
  at::Tensor attention_norm;  // [hidden] fp32
  at::Tensor mlp_norm;        // [hidden] fp32
  FrozenLinear qkv;           // q, k, v stacked
  HeadNorm head_norm;         // Of Qwen3.
  FrozenLinear o;
  FrozenLinear gate_up;  // gate, up stacked
  FrozenLinear down;
};

struct ModelWeights {
  at::Tensor embedding;  // [vocab, hidden]
  std::vector<BlockWeights> blocks;
  at::Tensor final_norm;  // [hidden] fp32
  FrozenLinear head;      // Shares memory with `embedding` when tied.
  RopeTable rope;

  at::TensorOptions options() const {
    return embedding.options();
  }  // Number type of weights and activations.
};

AttentionShape AttentionShapeOf(const ModelConfig& config);

// Positions a sequence may have: the context length or sliding window, at most 32,768.
int64_t MaxPositions(const ModelConfig& config);

at::ScalarType ScalarTypeOf(const Execution& execution);

// Tensors of the right shapes, uninitialised except the RoPE table.
ModelWeights AllocateWeights(const ModelConfig& config, const Execution& execution);

// Fills `weights` from the file; every tensor's presence and shape has been checked by
// ModelConfig::FromGguf.
absl::Status ReadWeights(const GgufFile& file, const ModelConfig& config, ModelWeights& weights);

// Normal numbers with standard deviation 1/sqrt(in), norms around 1.
void RandomizeWeights(uint64_t seed, ModelWeights& weights);

}  // namespace crossover::llm
