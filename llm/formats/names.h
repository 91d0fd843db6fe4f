// Tensor names and shapes of a decoder: Hugging Face's and GGUF's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/formats/model_config.h"

namespace crossover::llm {

// One weight a model must have.
struct WeightSpec {
  std::string hf_name;    // "model.layers.0.self_attn.q_proj.weight"
  std::string gguf_name;  // "blk.0.attn_q.weight"
  std::vector<int64_t> shape;
  // Heads whose rows GGUF stores interleaved (see permute.h); 0 when both orders are equal.
  int64_t permuted_heads = 0;
};

// Every weight of the model in a fixed order: embedding, layers, final norm, output (absent when
// tied).
std::vector<WeightSpec> WeightsOf(const ModelConfig& config);

// One of the seven linear layers of a block that LoRA can adapt.
struct LinearSpec {
  std::string hf_module;  // "model.layers.0.self_attn.q_proj"
  std::string target;     // "q_proj"
  int64_t in = 0;
  int64_t out = 0;
};

// The linear layers of block `layer` in the order q, k, v, o, gate, up, down.
std::vector<LinearSpec> LinearsOf(const ModelConfig& config, int64_t layer);

// "model.layers.3.mlp.up_proj.weight" -> "blk.3.ffn_up.weight", and back. nullopt for a name
// neither side knows.
std::optional<std::string> GgufNameOfHf(std::string_view hf_name);
std::optional<std::string> HfNameOfGguf(std::string_view gguf_name);

}  // namespace crossover::llm
