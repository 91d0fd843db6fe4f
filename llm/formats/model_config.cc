#include "llm/formats/model_config.h"

#include <cmath>
#include <numbers>
#include <span>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/model_limits.h"
#include "llm/formats/names.h"

namespace crossover::llm {
namespace {

// Holds the divisors of Llama 3's frequency scaling; no weight.
constexpr std::string_view kRopeDivisors = "rope_freqs.weight";

absl::Status InvalidMetadata(std::string_view path, std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(ToAbsl(path), ": ", ToAbsl(message)));
}

absl::Status UnsupportedMetadata(std::string_view path, std::string_view message) {
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
               absl::StrCat(ToAbsl(path), ": ", ToAbsl(message)));
}

// Reads the keys of one architecture ("llama.block_count", …).
class GgufKeys {
 public:
  GgufKeys(const GgufFile& file, std::string architecture)
      : file_(file), prefix_(std::move(architecture) + ".") {}

  absl::StatusOr<int64_t> Size(std::string_view key, int64_t limit = kMaxWidth) const {
    ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(Full(key)));
    return Checked(key, value, limit);
  }

  absl::StatusOr<int64_t> SizeOr(std::string_view key, int64_t fallback) const {
    if (!file_.Has(Full(key))) return fallback;
    return Size(key);
  }

  std::string Full(std::string_view key) const { return absl::StrCat(prefix_, ToAbsl(key)); }

 private:
  absl::StatusOr<int64_t> Checked(std::string_view key, uint64_t value, int64_t limit) const {
    if (value >= 1 && value <= static_cast<uint64_t>(limit)) return static_cast<int64_t>(value);
    return InvalidMetadata(file_.path(), absl::StrCat("metadata key '", Full(key), "' is ", value,
                                                      "; 1 to ", limit, " is possible"));
  }

  const GgufFile& file_;
  std::string prefix_;
};

absl::StatusOr<Architecture> ArchitectureOf(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string name, file.GetString("general.architecture"));
  if (name == "llama") return Architecture::kLlama;
  if (name == "qwen2") return Architecture::kQwen2;
  if (name == "qwen3") return Architecture::kQwen3;
  return UnsupportedMetadata(file.path(), absl::StrCat("general.architecture is '", name,
                                                       "'; llama, qwen2 and qwen3 are supported"));
}

absl::StatusOr<std::vector<float>> RopeDivisors(const GgufFile& file, const GgufKeys& keys,
                                                int64_t head_dim) {
  const int64_t pairs = head_dim / 2;
  if (const GgufTensor* divisors = file.FindTensor(kRopeDivisors)) {
    if (divisors->type != TensorType::kF32 || divisors->values() != pairs) {
      return InvalidMetadata(file.path(), absl::StrCat("tensor '", ToAbsl(kRopeDivisors),
                                                       "' must be F32 of ", pairs, " values"));
    }
    std::vector<float> values(pairs);
    RETURN_IF_ERROR(Dequantize(TensorType::kF32, divisors->data, values));
    return values;
  }
  ASSIGN_OR_RETURN(const std::string type,
                   file.GetStringOr(keys.Full("rope.scaling.type"), "none"));
  if (type == "none") return std::vector<float>();
  if (type == "linear") {
    ASSIGN_OR_RETURN(const double factor, file.GetFloat(keys.Full("rope.scaling.factor")));
    if (!(factor > 0)) return InvalidMetadata(file.path(), "rope.scaling.factor must be positive");
    return std::vector<float>(pairs, static_cast<float>(factor));
  }
  return UnsupportedMetadata(file.path(), absl::StrCat("rope.scaling.type '", type,
                                                       "'; none, linear and llama3 are supported"));
}

std::string ShapeText(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

absl::Status CheckTensors(const GgufFile& file, const ModelConfig& config) {
  std::unordered_set<std::string_view> used = {kRopeDivisors};
  const std::vector<WeightSpec> weights = WeightsOf(config);
  for (const WeightSpec& weight : weights) {
    used.insert(weight.gguf_name);
    ASSIGN_OR_RETURN(const GgufTensor* tensor, file.Tensor(weight.gguf_name));
    if (tensor->shape == weight.shape) continue;
    return InvalidMetadata(
        file.path(),
        absl::StrCat("tensor '", weight.gguf_name, "' has shape ", ShapeText(tensor->shape),
                     " where the metadata asks for ", ShapeText(weight.shape)));
  }
  // Leaving out a bias or a norm that the model was trained with gives wrong answers in silence.
  for (const GgufTensor& tensor : file.tensors()) {
    if (used.contains(tensor.name)) continue;
    return UnsupportedMetadata(
        file.path(), absl::StrCat("tensor '", ToAbsl(tensor.name), "' has no place in a ",
                                  ToAbsl(NameOf(config.architecture)), " model of ", config.layers,
                                  " layers as it is computed here, so answers "
                                  "would be wrong; choose a model without it"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view NameOf(Architecture architecture) {
  switch (architecture) {
    case Architecture::kLlama:
      return "llama";
    case Architecture::kQwen2:
      return "qwen2";
    case Architecture::kQwen3:
      return "qwen3";
  }
  return "llama";  // Unreachable.
}

std::vector<float> Llama3RopeDivisors(int64_t head_dim, double theta, double factor,
                                      double low_frequency_factor, double high_frequency_factor,
                                      double original_context) {
  const double low_wavelength = original_context / low_frequency_factor;
  const double high_wavelength = original_context / high_frequency_factor;
  std::vector<float> divisors(head_dim / 2);
  for (int64_t j = 0; j < head_dim / 2; ++j) {
    const double wavelength = 2 * std::numbers::pi * std::pow(theta, 2.0 * j / head_dim);
    double divisor = factor;
    if (wavelength < high_wavelength) {
      divisor = 1;
    } else if (wavelength <= low_wavelength) {
      const double smooth = (original_context / wavelength - low_frequency_factor) /
                            (high_frequency_factor - low_frequency_factor);
      divisor = 1 / ((1 - smooth) / factor + smooth);
    }
    divisors[j] = static_cast<float>(divisor);
  }
  return divisors;
}

absl::StatusOr<ModelConfig> ModelConfig::FromGguf(const GgufFile& file) {
  ModelConfig config;
  ASSIGN_OR_RETURN(config.architecture, ArchitectureOf(file));
  const GgufKeys keys(file, std::string(NameOf(config.architecture)));
  ASSIGN_OR_RETURN(config.layers, keys.Size("block_count", kMaxLayers));
  ASSIGN_OR_RETURN(config.context_length, keys.Size("context_length", kMaxContext));
  ASSIGN_OR_RETURN(config.hidden_size, keys.Size("embedding_length"));
  ASSIGN_OR_RETURN(config.intermediate_size, keys.Size("feed_forward_length"));
  ASSIGN_OR_RETURN(config.heads, keys.Size("attention.head_count", kMaxHeads));
  ASSIGN_OR_RETURN(config.kv_heads, keys.SizeOr("attention.head_count_kv", config.heads));
  ASSIGN_OR_RETURN(config.head_dim,
                   keys.SizeOr("attention.key_length", config.hidden_size / config.heads));
  ASSIGN_OR_RETURN(config.sliding_window, keys.SizeOr("attention.sliding_window", 0));
  ASSIGN_OR_RETURN(config.rms_norm_eps,
                   file.GetFloat(keys.Full("attention.layer_norm_rms_epsilon")));
  ASSIGN_OR_RETURN(config.rope_theta, file.GetFloatOr(keys.Full("rope.freq_base"), 10000.0));
  if (config.heads % config.kv_heads != 0 || config.head_dim == 0 || config.head_dim % 2 != 0 ||
      config.head_dim > kMaxHeadDim) {
    return InvalidMetadata(
        file.path(), absl::StrCat("the metadata give ", config.heads, " heads, ", config.kv_heads,
                                  " key/value heads and head size ", config.head_dim,
                                  ", which do not fit each other"));
  }
  if (!(config.rope_theta > 0) || !(config.rms_norm_eps > 0)) {
    return InvalidMetadata(file.path(),
                           "rope.freq_base and layer_norm_rms_epsilon must be positive");
  }
  ASSIGN_OR_RETURN(const int64_t rotated, keys.SizeOr("rope.dimension_count", config.head_dim));
  if (rotated != config.head_dim) {
    return UnsupportedMetadata(
        file.path(), absl::StrCat("RoPE over ", rotated, " of ", config.head_dim, " dimensions"));
  }
  ASSIGN_OR_RETURN(config.rope_divisors, RopeDivisors(file, keys, config.head_dim));
  ASSIGN_OR_RETURN(const GgufTensor* embedding, file.Tensor("token_embd.weight"));
  config.vocab_size = embedding->shape.front();
  config.tied_embeddings = file.FindTensor("output.weight") == nullptr;
  config.qkv_bias = file.FindTensor("blk.0.attn_q.bias") != nullptr;
  config.qk_norm = config.architecture == Architecture::kQwen3;
  RETURN_IF_ERROR(CheckTensors(file, config));
  return config;
}

}  // namespace crossover::llm
