// Small models for tests.
#pragma once

#include <memory>

#include "llm/formats/model_config.h"
#include "llm/model/base_model.h"

namespace crossover::llm {

inline ModelConfig TinyConfig(Architecture architecture = Architecture::kLlama) {
  ModelConfig config;
  config.architecture = architecture;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.layers = 3;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.vocab_size = 128;
  config.context_length = 512;
  config.qkv_bias = architecture == Architecture::kQwen2;
  config.qk_norm = architecture == Architecture::kQwen3;
  return config;
}

inline std::shared_ptr<const BaseModel> TinyModel(
    ComputeType type = ComputeType::kFp32, Architecture architecture = Architecture::kLlama) {
  return BaseModel::Random(TinyConfig(architecture), {.threads = 1, .compute_type = type},
                           /*seed=*/1);
}

}  // namespace crossover::llm
