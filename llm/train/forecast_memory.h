// What a training will take of memory, from shapes: as forecast.h, for which it is. No torch.
#pragma once

#include <cstdint>

#include "llm/formats/model_config.h"
#include "llm/lora/layout.h"
#include "llm/train/forecast.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// How a pass keeps its activations (llm/model/decoder.h).
struct PassMemory {
  int64_t item = 2;  // Bytes of a number: 2 in bf16, 4 in fp32.
  bool keep = false;
  bool recompute = false;
  bool dropout = false;
};

// As Activations::BytesPerToken, which a test compares it with.
int64_t ActivationBytesPerToken(const ModelConfig& model, const LoraLayout& layout,
                                const PassMemory& pass);

// Parameters of the linear layers.
int64_t FrozenParameters(const ModelConfig& model);

// Of the base, each in bytes. Stored matrices are decoded into one buffer, as large as the largest.
int64_t DenseBytes(const ModelConfig& model, int64_t item);
int64_t DecodeBufferBytes(const ModelConfig& model, int64_t item);

struct LargestPacks {
  int64_t train = 0;  // Tokens.
  int64_t validation = 0;
};

struct MemoryForecast {
  int64_t bytes = 0;
  bool stored = false;     // The base stays in its file's bytes.
  bool recompute = false;  // The backward pass computes activations again.
};

MemoryForecast ForecastMemory(const ModelConfig& model, const TrainConfig& config,
                              const LoraLayout& layout, const LargestPacks& packs,
                              const ForecastOptions& options);

}  // namespace crossover::llm
