// Small whole models as GGUF files. For tests.
#pragma once

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/status/status_macros.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/gguf_writer.h"
#include "llm/formats/model_config.h"
#include "llm/formats/names.h"

namespace crossover::llm {

inline ModelConfig SmallModel(Architecture architecture = Architecture::kLlama) {
  ModelConfig config;
  config.architecture = architecture;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.vocab_size = 40;
  config.context_length = 128;
  config.qkv_bias = architecture == Architecture::kQwen2;
  config.qk_norm = architecture == Architecture::kQwen3;
  return config;
}

// Architecture and sizes of the model, under the keys of GGUF.
inline absl::Status AddSizes(GgufWriter& writer, const ModelConfig& config) {
  const std::string name(NameOf(config.architecture));
  const auto size = [&](const std::string& key, int64_t value) {
    return writer.AddUint32(name + "." + key, static_cast<uint32_t>(value));
  };
  RETURN_IF_ERROR(writer.AddString("general.architecture", name));
  RETURN_IF_ERROR(size("block_count", config.layers));
  RETURN_IF_ERROR(size("context_length", config.context_length));
  RETURN_IF_ERROR(size("embedding_length", config.hidden_size));
  RETURN_IF_ERROR(size("feed_forward_length", config.intermediate_size));
  RETURN_IF_ERROR(size("attention.head_count", config.heads));
  RETURN_IF_ERROR(size("attention.head_count_kv", config.kv_heads));
  RETURN_IF_ERROR(size("attention.key_length", config.head_dim));
  RETURN_IF_ERROR(size("attention.value_length", config.head_dim));
  return writer.AddFloat32(name + ".attention.layer_norm_rms_epsilon", 1e-5f);
}

// Writes the model in F32 with numbers in [-1, 1], each its own, and `extra` F32 vectors of 64
// values beside them. Without a tokenizer, unless `add_metadata` writes one.
inline absl::Status WriteSmallModel(
    const std::filesystem::path& path, const ModelConfig& config,
    const std::vector<std::string>& extra = {},
    const std::function<absl::Status(GgufWriter& writer)>& add_metadata = nullptr) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GgufWriter> writer, GgufWriter::Create(path));
  RETURN_IF_ERROR(AddSizes(*writer, config));
  if (add_metadata) RETURN_IF_ERROR(add_metadata(*writer));
  std::vector<WeightSpec> weights = WeightsOf(config);
  for (const std::string& vector : extra) weights.push_back({"", vector, {64}, 0});
  for (const WeightSpec& weight : weights) {
    RETURN_IF_ERROR(writer->AddTensor(weight.gguf_name, TensorType::kF32, weight.shape));
  }
  double phase = 0;
  for (const WeightSpec& weight : weights) {
    int64_t count = 1;
    for (const int64_t dimension : weight.shape) count *= dimension;
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(std::sin(phase += 0.7));
    RETURN_IF_ERROR(writer->AppendData(std::as_bytes(std::span<const float>(values))));
  }
  return writer->Finish();
}

}  // namespace crossover::llm
