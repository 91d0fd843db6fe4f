#include "llm/model/weights.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/names.h"
#include "llm/formats/permute.h"
#include "llm/model/parallel.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

constexpr int64_t kMaxPositions = 32768;

// inv_freq_j = theta^(-2j/head_dim) / divisor_j; angle = position * inv_freq in fp32, as
// transformers computes it.
RopeTable MakeRope(const ModelConfig& config) {
  const int64_t half = config.head_dim / 2;
  const int64_t positions = MaxPositions(config);
  RopeTable table{at::empty({positions, half}, at::kFloat),
                  at::empty({positions, half}, at::kFloat), config.head_dim};
  float* cos = Data<float>(table.cos);
  float* sin = Data<float>(table.sin);
  for (int64_t j = 0; j < half; ++j) {
    const double exponent = 2.0 * static_cast<double>(j) / static_cast<double>(config.head_dim);
    float frequency = static_cast<float>(1.0 / std::pow(config.rope_theta, exponent));
    if (!config.rope_divisors.empty()) frequency /= config.rope_divisors[j];
    for (int64_t p = 0; p < positions; ++p) {
      const float angle = static_cast<float>(p) * frequency;
      cos[p * half + j] = std::cos(angle);
      sin[p * half + j] = std::sin(angle);
    }
  }
  return table;
}

// Where one stored tensor goes: rows [row, row + rows) of `to`, which may be a stack.
struct Destination {
  std::string name;
  at::Tensor to;
  int64_t row = 0;
  int64_t permuted_heads = 0;
};

std::vector<Destination> Destinations(const ModelConfig& config, ModelWeights& weights) {
  const int64_t q = config.heads * config.head_dim;
  const int64_t kv = config.kv_heads * config.head_dim;
  const bool llama = config.architecture == Architecture::kLlama;
  const int64_t q_heads = llama ? config.heads : 0;
  const int64_t k_heads = llama ? config.kv_heads : 0;
  std::vector<Destination> all = {{"token_embd.weight", weights.embedding},
                                  {"output_norm.weight", weights.final_norm}};
  if (!config.tied_embeddings) all.push_back({"output.weight", weights.head.weight});
  for (size_t i = 0; i < weights.blocks.size(); ++i) {
    BlockWeights& block = weights.blocks[i];
    const std::string prefix = absl::StrCat("blk.", i, ".");
    const auto add = [&](std::string_view name, const at::Tensor& to, int64_t row, int64_t heads) {
      all.push_back({absl::StrCat(prefix, std::string(name)), to, row, heads});
    };
    add("attn_norm.weight", block.attention_norm, 0, 0);
    add("ffn_norm.weight", block.mlp_norm, 0, 0);
    add("attn_q.weight", block.qkv.weight, 0, q_heads);
    add("attn_k.weight", block.qkv.weight, q, k_heads);
    add("attn_v.weight", block.qkv.weight, q + kv, 0);
    if (config.qkv_bias) {
      add("attn_q.bias", block.qkv.bias, 0, q_heads);
      add("attn_k.bias", block.qkv.bias, q, k_heads);
      add("attn_v.bias", block.qkv.bias, q + kv, 0);
    }
    if (config.qk_norm) {
      add("attn_q_norm.weight", block.head_norm.q, 0, 0);
      add("attn_k_norm.weight", block.head_norm.k, 0, 0);
    }
    add("attn_output.weight", block.o.weight, 0, 0);
    add("ffn_gate.weight", block.gate_up.weight, 0, 0);
    add("ffn_up.weight", block.gate_up.weight, config.intermediate_size, 0);
    add("ffn_down.weight", block.down.weight, 0, 0);
  }
  return all;
}

// Converts one stored tensor to the number type of its destination, in Hugging Face's row order.
absl::Status ReadTensor(const GgufTensor& tensor, const ModelConfig& config,
                        const Destination& destination) {
  const size_t item = destination.to.element_size();
  const int64_t values = tensor.values();
  // A vector is a column of rows of one value; a matrix has rows of its second dimension.
  const int64_t width = destination.to.dim() == 1 ? 1 : destination.to.size(1);
  std::byte* to = Data<std::byte>(destination.to) + destination.row * width * item;
  std::vector<std::byte> unordered;
  std::byte* target = to;
  if (destination.permuted_heads > 0) {
    unordered.resize(values * item);
    target = unordered.data();
  }
  if (item == 2) {
    RETURN_IF_ERROR(DequantizeToBf16(tensor.type, tensor.data,
                                     {reinterpret_cast<uint16_t*>(target), size_t(values)}));
  } else {
    RETURN_IF_ERROR(
        Dequantize(tensor.type, tensor.data, {reinterpret_cast<float*>(target), size_t(values)}));
  }
  if (destination.permuted_heads == 0) return absl::OkStatus();
  return PermuteGgufToHf(unordered, {to, values * item}, destination.permuted_heads,
                         config.head_dim);
}

}  // namespace

AttentionShape AttentionShapeOf(const ModelConfig& config) {
  return {config.heads, config.kv_heads, config.head_dim};
}

int64_t MaxPositions(const ModelConfig& config) {
  int64_t positions = std::min(config.context_length, kMaxPositions);
  if (config.sliding_window > 0) positions = std::min(positions, config.sliding_window);
  return positions;
}

at::ScalarType ScalarTypeOf(const Execution& execution) {
  return execution.bf16() ? at::kBFloat16 : at::kFloat;
}

ModelWeights AllocateWeights(const ModelConfig& config, const Execution& execution) {
  const at::TensorOptions type = at::TensorOptions().dtype(ScalarTypeOf(execution));
  const at::TensorOptions fp32 = at::TensorOptions().dtype(at::kFloat);
  const int64_t hidden = config.hidden_size;
  const AttentionShape shape = AttentionShapeOf(config);
  ModelWeights weights;
  weights.embedding = at::empty({config.vocab_size, hidden}, type);
  weights.final_norm = at::empty({hidden}, fp32);
  weights.head.weight =
      config.tied_embeddings ? weights.embedding : at::empty({config.vocab_size, hidden}, type);
  for (int64_t i = 0; i < config.layers; ++i) {
    BlockWeights block;
    block.attention_norm = at::empty({hidden}, fp32);
    block.mlp_norm = at::empty({hidden}, fp32);
    block.qkv.weight = at::empty({shape.qkv_width(), hidden}, type);
    if (config.qkv_bias) block.qkv.bias = at::empty({shape.qkv_width()}, fp32);
    if (config.qk_norm) {
      block.head_norm = {at::empty({config.head_dim}, fp32), at::empty({config.head_dim}, fp32)};
    }
    block.o.weight = at::empty({hidden, shape.out_width()}, type);
    block.gate_up.weight = at::empty({2 * config.intermediate_size, hidden}, type);
    block.down.weight = at::empty({hidden, config.intermediate_size}, type);
    weights.blocks.push_back(std::move(block));
  }
  weights.rope = MakeRope(config);
  return weights;
}

absl::Status ReadWeights(const GgufFile& file, const ModelConfig& config, ModelWeights& weights) {
  const std::vector<Destination> destinations = Destinations(config, weights);
  std::vector<absl::Status> results(destinations.size());
  ParallelTasks(static_cast<int64_t>(destinations.size()), [&](int64_t i) {
    const absl::StatusOr<const GgufTensor*> tensor = file.Tensor(destinations[i].name);
    results[i] = tensor.ok() ? ReadTensor(**tensor, config, destinations[i]) : tensor.status();
  });
  for (size_t i = 0; i < results.size(); ++i) {
    RETURN_IF_ERROR(
        WithContext(results[i], absl::StrCat(file.path(), ": tensor ", destinations[i].name)));
  }
  return absl::OkStatus();
}

void RandomizeWeights(uint64_t seed, ModelWeights& weights) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto fill = [&](at::Tensor& tensor, double mean, double deviation) {
    if (!tensor.defined()) return;
    tensor.copy_(at::empty(tensor.sizes(), at::kFloat).normal_(mean, deviation, generator));
  };
  const auto linear = [&](FrozenLinear& layer) {
    fill(layer.weight, 0, 1 / std::sqrt(static_cast<double>(layer.in())));
    fill(layer.bias, 0, 0.1);
  };
  fill(weights.embedding, 0, 1 / std::sqrt(static_cast<double>(weights.embedding.size(1))));
  if (!weights.head.weight.is_same(weights.embedding)) linear(weights.head);
  fill(weights.final_norm, 1, 0.1);
  for (BlockWeights& block : weights.blocks) {
    fill(block.attention_norm, 1, 0.1);
    fill(block.mlp_norm, 1, 0.1);
    fill(block.head_norm.q, 1, 0.1);
    fill(block.head_norm.k, 1, 0.1);
    for (FrozenLinear* layer : {&block.qkv, &block.o, &block.gate_up, &block.down}) linear(*layer);
  }
}

}  // namespace crossover::llm
