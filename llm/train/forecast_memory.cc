#include "llm/train/forecast_memory.h"

#include <algorithm>

namespace crossover::llm {

namespace {

// LibTorch, its threads, what it keeps of matrix products (primitive_cache.h), the tokenizer, a
// worker's RPC and the heap: measured on the 135 M test model, between two kinds of products. Of
// bench train's peak what is counted below explains 696 MB: it took 926 MB with LibTorch's
// products, 822 with our own (products.h).
constexpr int64_t kRuntimeBytes = int64_t{185} << 20;
constexpr int64_t kLossChunk = 256;     // loss.h
constexpr int64_t kForecastChunk = 64;  // objective_soft.h
constexpr Group kAllGroups[] = {Group::kQkv, Group::kO, Group::kGateUp, Group::kDown};

int64_t In(const ModelConfig& c, Group group) {
  if (group == Group::kO) return c.heads * c.head_dim;
  return group == Group::kDown ? c.intermediate_size : c.hidden_size;
}

int64_t Vocabulary(const ModelConfig& c) { return c.vocab_size * c.hidden_size; }

// Allocated for whole multiples of 128 tokens.
int64_t Rounded(int64_t tokens) { return (tokens + 127) / 128 * 128; }

// Backward's buffers (backward.cc).
int64_t BackwardBytes(const ModelConfig& c, const LoraLayout& layout, int64_t tokens,
                      int64_t item) {
  int64_t ranks = 0;
  for (const Group group : kAllGroups) ranks = std::max(ranks, layout.MaxRankSum(group));
  const int64_t width =
      2 * c.hidden_size + 2 * c.intermediate_size + 2 * (c.heads + c.kv_heads) * c.head_dim;
  return tokens * item * (width + ranks + (layout.scaled() ? c.hidden_size : 0));
}

// What is there however weights and activations are kept, but for the runtime.
int64_t OtherBytes(const ModelConfig& c, const TrainConfig& config, const LoraLayout& layout,
                   const LargestPacks& packs, int64_t item, int workers) {
  // Master, gradient and two moments; operands in the activations' type, B block-diagonal.
  int64_t bytes = layout.size() * (16 + 2 * item);
  if (workers > 1) bytes += layout.size() * 4;  // The copy of the gradient that is summed up.
  bytes += BackwardBytes(c, layout, packs.train, item);
  const int64_t plain = ActivationBytesPerToken(c, layout, {.item = item});
  bytes += Rounded(packs.validation) * plain;
  const bool reference = config.objective == ObjectiveKind::kPreference || config.kl_weight > 0;
  if (reference) bytes += Rounded(std::max(packs.train, packs.validation)) * plain;
  const bool soft = config.objective == ObjectiveKind::kDistil || config.kl_weight > 0;
  bytes += kLossChunk * c.vocab_size * item;
  if (soft) bytes += kForecastChunk * c.vocab_size * (item + 5 * 4);
  return bytes;
}

// As BaseModel::Load with WeightStorage::kAuto: dense if that takes at most half of what is free.
bool IsStored(const ForecastOptions& options, int64_t dense) {
  if (options.stored_bytes <= 0 || options.memory_bytes <= 0) return false;
  return dense > (options.memory_bytes - kRuntimeBytes) / 2;
}

// As ShouldRecompute: kept if they take at most half of what the base leaves free.
bool Recomputes(const TrainConfig& config, const ForecastOptions& options, int64_t weights,
                int64_t kept) {
  if (config.recompute != Recompute::kAuto) return config.recompute == Recompute::kAlways;
  if (options.memory_bytes <= 0) return false;
  return kept > (options.memory_bytes - kRuntimeBytes - weights) / 2;
}

}  // namespace

int64_t FrozenParameters(const ModelConfig& model) {
  int64_t sum = 0;
  for (const Group group : kAllGroups) sum += In(model, group) * StackRows(model, group);
  return sum * model.layers;
}

int64_t DenseBytes(const ModelConfig& model, int64_t item) {
  const int64_t matrices = model.tied_embeddings ? 1 : 2;
  return item * (FrozenParameters(model) + matrices * Vocabulary(model));
}

int64_t DecodeBufferBytes(const ModelConfig& model, int64_t item) {
  int64_t most = Vocabulary(model);
  for (const Group group : kAllGroups)
    most = std::max(most, In(model, group) * StackRows(model, group));
  return item * most;
}

int64_t ActivationBytesPerToken(const ModelConfig& c, const LoraLayout& layout,
                                const PassMemory& pass) {
  const int64_t attention = c.heads * c.head_dim, qkv = attention + 2 * c.kv_heads * c.head_dim;
  const int64_t heads = c.heads + c.kv_heads;
  int64_t width = 4 * c.hidden_size + qkv + attention + 2 * c.intermediate_size;
  for (const Group group : kAllGroups) width += layout.MaxRankSum(group);
  if (c.qk_norm) width += heads * c.head_dim;  // Queries and keys before they are normalised.
  // Outputs before DoRA's scale.
  if (layout.scaled()) width += qkv + 2 * c.hidden_size + 2 * c.intermediate_size;
  const int64_t block = pass.item * width + 4 * (c.heads + 2) + (c.qk_norm ? 4 * heads : 0);
  const int64_t blocks = pass.keep && !pass.recompute ? c.layers : 1;
  const int64_t inputs =
      pass.keep && pass.recompute ? pass.item * c.hidden_size * (c.layers - 1) : 0;
  const int64_t widest = std::max({c.hidden_size, c.intermediate_size, attention});
  const int64_t dropped = pass.dropout ? pass.item * widest : 0;
  return block * blocks + inputs + dropped + pass.item * (c.intermediate_size + 3 * c.hidden_size) +
         4;
}

MemoryForecast ForecastMemory(const ModelConfig& model, const TrainConfig& config,
                              const LoraLayout& layout, const LargestPacks& packs,
                              const ForecastOptions& options) {
  const int64_t item = options.bf16 ? 2 : 4;
  const int64_t dense = DenseBytes(model, item);
  const int64_t stored = options.stored_bytes + DecodeBufferBytes(model, item);
  MemoryForecast forecast;
  forecast.stored = IsStored(options, dense);
  // A file of plain numbers is not smaller than they are.
  const int64_t weights = forecast.stored ? std::min(dense, stored) : dense;
  PassMemory pass{.item = item, .keep = true, .dropout = config.dropout > 0};
  const auto activations = [&] {
    return Rounded(packs.train) * ActivationBytesPerToken(model, layout, pass);
  };
  forecast.recompute = Recomputes(config, options, weights, activations());
  pass.recompute = forecast.recompute;
  forecast.bytes = kRuntimeBytes + weights + activations() +
                   OtherBytes(model, config, layout, packs, item, options.workers);
  return forecast;
}

}  // namespace crossover::llm
