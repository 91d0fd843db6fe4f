#include "llm/model/weights.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/formats/nf4.h"
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

// Where one tensor of a file goes: rows [row, …) of `to`, which may be a stack, or the next place
// in `stored`.
struct Destination {
  std::string name;
  at::Tensor to;
  std::shared_ptr<const StoredMatrix>* stored = nullptr;  // Only matrices have one.
  int64_t row = 0;
  int64_t permuted_heads = 0;
};

// Parts of a stack stand one after the other, in order.
std::vector<Destination> Destinations(const ModelConfig& config, ModelWeights& weights) {
  const int64_t q = config.heads * config.head_dim;
  const int64_t kv = config.kv_heads * config.head_dim;
  const bool llama = config.architecture == Architecture::kLlama;
  const int64_t q_heads = llama ? config.heads : 0;
  const int64_t k_heads = llama ? config.kv_heads : 0;
  std::vector<Destination> all = {
      {"token_embd.weight", weights.embedding, &weights.stored_embedding},
      {"output_norm.weight", weights.final_norm}};
  if (!config.tied_embeddings)
    all.push_back({"output.weight", weights.head.weight, &weights.head.stored});
  for (size_t i = 0; i < weights.blocks.size(); ++i) {
    BlockWeights& block = weights.blocks[i];
    const std::string prefix = absl::StrCat("blk.", i, ".");
    const auto vector = [&](const char* name, const at::Tensor& to, int64_t row, int64_t heads) {
      all.push_back({absl::StrCat(prefix, name), to, nullptr, row, heads});
    };
    const auto matrix = [&](const char* name, FrozenLinear& to, int64_t row, int64_t heads) {
      all.push_back({absl::StrCat(prefix, name), to.weight, &to.stored, row, heads});
    };
    vector("attn_norm.weight", block.attention_norm, 0, 0);
    vector("ffn_norm.weight", block.mlp_norm, 0, 0);
    matrix("attn_q.weight", block.qkv, 0, q_heads);
    matrix("attn_k.weight", block.qkv, q, k_heads);
    matrix("attn_v.weight", block.qkv, q + kv, 0);
    if (config.qkv_bias) {
      vector("attn_q.bias", block.qkv.bias, 0, q_heads);
      vector("attn_k.bias", block.qkv.bias, q, k_heads);
      vector("attn_v.bias", block.qkv.bias, q + kv, 0);
    }
    if (config.qk_norm) {
      vector("attn_q_norm.weight", block.head_norm.q, 0, 0);
      vector("attn_k_norm.weight", block.head_norm.k, 0, 0);
    }
    matrix("attn_output.weight", block.o, 0, 0);
    matrix("ffn_gate.weight", block.gate_up, 0, 0);
    matrix("ffn_up.weight", block.gate_up, config.intermediate_size, 0);
    matrix("ffn_down.weight", block.down, 0, 0);
  }
  return all;
}

// Converts one tensor to the number type of its destination. On the calling thread.
absl::Status ReadNumbers(const WeightSource& source, const Destination& destination) {
  ASSIGN_OR_RETURN(const TensorRows rows,
                   source.Rows(destination.name, destination.permuted_heads));
  const at::Tensor& to = destination.to;
  // A vector may come as a column or as a row.
  const int64_t first = destination.row * (to.dim() == 1 ? 1 : to.size(1));
  if (to.scalar_type() == at::kFloat) {
    rows.Decode(0, rows.rows(), Data<float>(to) + first);
  } else {
    rows.Decode(0, rows.rows(), Data<Bf16Bits>(to) + first);
  }
  return absl::OkStatus();
}

// A block of NF4 may cross rows, but not the end of a matrix; embedding and head stay as they are.
bool GoesToNf4(const Destination& destination, const TensorRows& rows) {
  return !rows.quantized() && rows.rows() * rows.columns() % kNf4Block == 0 &&
         destination.name.starts_with("blk.");
}

// Sets what is undefined in the matrices: all parts of a stack together.
absl::Status ReadStored(const WeightSource& source, const std::vector<Destination>& destinations,
                        bool to_nf4, ModelWeights& weights) {
  const auto buffers = std::make_shared<DecodeBuffers>();
  for (size_t i = 0; i < destinations.size();) {
    if (destinations[i].stored == nullptr) {
      ++i;
      continue;
    }
    std::shared_ptr<const StoredMatrix>* stored = destinations[i].stored;
    std::vector<TensorRows> parts;
    for (; i < destinations.size() && destinations[i].stored == stored; ++i) {
      ASSIGN_OR_RETURN(TensorRows rows,
                       source.Rows(destinations[i].name, destinations[i].permuted_heads));
      parts.push_back(to_nf4 && GoesToNf4(destinations[i], rows) ? ToNf4(rows) : std::move(rows));
    }
    *stored = std::make_shared<const StoredMatrix>(std::move(parts), weights.type, buffers);
  }
  if (source.config().tied_embeddings) weights.head.stored = weights.stored_embedding;
  return absl::OkStatus();
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
  const at::TensorOptions fp32 = at::TensorOptions().dtype(at::kFloat);
  const int64_t hidden = config.hidden_size;
  const AttentionShape shape = AttentionShapeOf(config);
  ModelWeights weights;
  weights.type = ScalarTypeOf(execution);
  const auto matrix = [&](int64_t rows, int64_t columns) {
    return execution.weights == WeightStorage::kDense ? at::empty({rows, columns}, weights.type)
                                                      : at::Tensor();
  };
  weights.embedding = matrix(config.vocab_size, hidden);
  weights.final_norm = at::empty({hidden}, fp32);
  weights.head.weight =
      config.tied_embeddings ? weights.embedding : matrix(config.vocab_size, hidden);
  for (int64_t i = 0; i < config.layers; ++i) {
    BlockWeights block;
    block.attention_norm = at::empty({hidden}, fp32);
    block.mlp_norm = at::empty({hidden}, fp32);
    block.qkv.weight = matrix(shape.qkv_width(), hidden);
    if (config.qkv_bias) block.qkv.bias = at::empty({shape.qkv_width()}, fp32);
    if (config.qk_norm) {
      block.head_norm = {at::empty({config.head_dim}, fp32), at::empty({config.head_dim}, fp32)};
    }
    block.o.weight = matrix(hidden, shape.out_width());
    block.gate_up.weight = matrix(2 * config.intermediate_size, hidden);
    block.down.weight = matrix(hidden, config.intermediate_size);
    weights.blocks.push_back(std::move(block));
  }
  weights.rope = MakeRope(config);
  return weights;
}

absl::Status ReadWeights(const WeightSource& source, WeightStorage storage, ModelWeights& weights) {
  const std::vector<Destination> destinations = Destinations(source.config(), weights);
  std::vector<absl::Status> results(destinations.size());
  ParallelTasks(static_cast<int64_t>(destinations.size()), [&](int64_t i) {
    if (destinations[i].to.defined()) results[i] = ReadNumbers(source, destinations[i]);
  });
  for (const absl::Status& result : results) RETURN_IF_ERROR(result);
  if (storage == WeightStorage::kDense) return absl::OkStatus();
  return ReadStored(source, destinations, storage == WeightStorage::kNf4, weights);
}

void EmbedTokens(const ModelWeights& weights, const int32_t* ids, int64_t count, at::Tensor& out) {
  if (weights.stored_embedding != nullptr) {
    weights.stored_embedding->Gather(ids, count, out);
  } else {
    GatherRowsOf(weights.embedding, ids, count, out);
  }
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
