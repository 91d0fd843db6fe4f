// The frozen tensors of a decoder. Sees torch; private to model, lora, train and generate.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/formats/model_config.h"
#include "llm/model/attention.h"
#include "llm/model/execution.h"
#include "llm/model/head_norm.h"
#include "llm/model/linear.h"
#include "llm/model/rows.h"
#include "llm/model/stored_matrix.h"
#include "llm/model/weight_source.h"

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
  at::ScalarType type = at::kFloat;  // Of matrices and activations.
  // [vocab, hidden]; one of the two.
  at::Tensor embedding;
  std::shared_ptr<const StoredMatrix> stored_embedding;
  std::vector<BlockWeights> blocks;
  at::Tensor final_norm;  // [hidden] fp32
  FrozenLinear head;      // Shares memory with `embedding` when tied.
  RopeTable rope;

  at::TensorOptions options() const { return at::TensorOptions().dtype(type); }
};

AttentionShape AttentionShapeOf(const ModelConfig& config);

// Positions a sequence may have: the context length or sliding window, at most 32,768.
int64_t MaxPositions(const ModelConfig& config);

at::ScalarType ScalarTypeOf(const Execution& execution);

// Tensors of the right shapes, uninitialised except the RoPE table. With other weights than dense
// ones the matrices are left undefined.
ModelWeights AllocateWeights(const ModelConfig& config, const Execution& execution);

// Fills `weights`, which were allocated for `storage`: the tensors with numbers, and what is
// undefined with stored matrices.
absl::Status ReadWeights(const WeightSource& source, WeightStorage storage, ModelWeights& weights);

// Rows of the embedding by token, to out [count, hidden].
void EmbedTokens(const ModelWeights& weights, const int32_t* ids, int64_t count, at::Tensor& out);

// Normal numbers with standard deviation 1/sqrt(in), norms around 1.
void RandomizeWeights(uint64_t seed, ModelWeights& weights);

}  // namespace crossover::llm
