#include "llm/formats/gguf_config.h"

#include <algorithm>
#include <span>
#include <string>

#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/tensor_type.h"

namespace crossover::llm {
namespace {

bool IsOneFactor(const std::vector<float>& divisors) {
  return std::all_of(divisors.begin(), divisors.end(),
                     [&](float divisor) { return divisor == divisors.front(); });
}

absl::Status AddSizes(const ModelConfig& config, const std::string& prefix, GgufWriter& writer) {
  const auto size = [&](const char* key, int64_t value) {
    return writer.AddUint32(prefix + key, static_cast<uint32_t>(value));
  };
  RETURN_IF_ERROR(size("vocab_size", config.vocab_size));
  RETURN_IF_ERROR(size("block_count", config.layers));
  RETURN_IF_ERROR(size("context_length", config.context_length));
  RETURN_IF_ERROR(size("embedding_length", config.hidden_size));
  RETURN_IF_ERROR(size("feed_forward_length", config.intermediate_size));
  RETURN_IF_ERROR(size("attention.head_count", config.heads));
  RETURN_IF_ERROR(size("attention.head_count_kv", config.kv_heads));
  RETURN_IF_ERROR(size("attention.key_length", config.head_dim));
  RETURN_IF_ERROR(size("attention.value_length", config.head_dim));
  RETURN_IF_ERROR(size("rope.dimension_count", config.head_dim));
  if (config.sliding_window == 0) return absl::OkStatus();
  return size("attention.sliding_window", config.sliding_window);
}

}  // namespace

absl::Status AddModelConfig(const ModelConfig& config, GgufWriter& writer) {
  const std::string architecture(NameOf(config.architecture)), prefix = architecture + ".";
  const std::vector<float>& divisors = config.rope_divisors;
  if (!IsOneFactor(divisors) && config.architecture != Architecture::kLlama) {
    return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                 "RoPE scaling 'llama3' in a model of architecture " + architecture +
                     " has no place in GGUF: llama.cpp reads rope_freqs for llama only");
  }
  RETURN_IF_ERROR(writer.AddString("general.architecture", architecture));
  RETURN_IF_ERROR(writer.AddString("general.type", "model"));
  RETURN_IF_ERROR(AddSizes(config, prefix, writer));
  RETURN_IF_ERROR(writer.AddFloat32(prefix + "attention.layer_norm_rms_epsilon",
                                    static_cast<float>(config.rms_norm_eps)));
  RETURN_IF_ERROR(
      writer.AddFloat32(prefix + "rope.freq_base", static_cast<float>(config.rope_theta)));
  if (divisors.empty() || !IsOneFactor(divisors)) return absl::OkStatus();
  RETURN_IF_ERROR(writer.AddString(prefix + "rope.scaling.type", "linear"));
  return writer.AddFloat32(prefix + "rope.scaling.factor", divisors.front());
}

absl::Status AddRopeDivisors(const ModelConfig& config, GgufWriter& writer) {
  const std::vector<float>& divisors = config.rope_divisors;
  if (IsOneFactor(divisors)) return absl::OkStatus();
  RETURN_IF_ERROR(writer.AddTensor("rope_freqs.weight", TensorType::kF32,
                                   {static_cast<int64_t>(divisors.size())}));
  return writer.AppendData(std::as_bytes(std::span(divisors)));
}

}  // namespace crossover::llm
