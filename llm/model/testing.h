// Small models for tests.
#pragma once

#include <memory>

#include "llm/formats/testing_model.h"
#include "llm/model/base_model.h"

namespace crossover::llm {

inline ModelConfig TinyConfig(Architecture architecture = Architecture::kLlama) {
  ModelConfig config = SmallModel(architecture);
  config.layers = 3;
  config.vocab_size = 128;
  config.context_length = 512;
  return config;
}

inline std::shared_ptr<const BaseModel> TinyModel(
    ComputeType type = ComputeType::kFp32, Architecture architecture = Architecture::kLlama) {
  return BaseModel::Random(TinyConfig(architecture), {.threads = 1, .compute_type = type},
                           /*seed=*/1);
}

}  // namespace crossover::llm
