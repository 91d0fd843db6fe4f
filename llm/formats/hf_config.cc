// ModelConfig::FromHfJson and FromHfFolder.
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/hf_listing.h"
#include "llm/formats/model_config.h"
#include "llm/formats/model_limits.h"

namespace crossover::llm {
namespace {

using Json = nlohmann::json;

absl::Status InvalidConfig(std::string_view path, std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(ToAbsl(path), ": ", ToAbsl(message)));
}

absl::Status UnsupportedConfig(std::string_view path, std::string_view message) {
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
               absl::StrCat(ToAbsl(path), ": ", ToAbsl(message)));
}

// Typed reads from one JSON object; null counts as absent.
class Fields {
 public:
  Fields(const Json& object, std::string_view path) : object_(object), path_(path) {}

  bool Has(const char* key) const {
    const auto found = object_.find(key);
    return found != object_.end() && !found->is_null();
  }

  absl::StatusOr<int64_t> Size(const char* key, int64_t limit) const {
    const std::string wanted = absl::StrCat("an integer from 1 to ", limit);
    if (!Has(key) || !object_[key].is_number_integer()) return Wrong(key, wanted);
    const int64_t value = object_[key].get<int64_t>();
    if (value < 1 || value > limit) return Wrong(key, wanted);
    return value;
  }

  absl::StatusOr<int64_t> SizeOr(const char* key, int64_t fallback, int64_t limit) const {
    if (!Has(key)) return fallback;
    return Size(key, limit);
  }

  absl::StatusOr<double> PositiveOr(const char* key, double fallback) const {
    if (!Has(key)) return fallback;
    if (!object_[key].is_number() || !(object_[key].get<double>() > 0)) {
      return Wrong(key, "a positive number");
    }
    return object_[key].get<double>();
  }

  absl::StatusOr<bool> BoolOr(const char* key, bool fallback) const {
    if (!Has(key)) return fallback;
    if (!object_[key].is_boolean()) return Wrong(key, "true or false");
    return object_[key].get<bool>();
  }

  absl::StatusOr<std::string> StringOr(const char* key, std::string fallback) const {
    if (!Has(key)) return fallback;
    if (!object_[key].is_string()) return Wrong(key, "a string");
    return object_[key].get<std::string>();
  }

 private:
  absl::Status Wrong(const char* key, std::string_view wanted) const {
    return InvalidConfig(path_, absl::StrCat("'", key, "' must be ", ToAbsl(wanted)));
  }

  const Json& object_;
  std::string_view path_;
};

absl::StatusOr<std::string> ArchitectureName(const Json& root, const Fields& fields,
                                             std::string_view path) {
  const auto found = root.find("architectures");
  if (found != root.end() && found->is_array() && !found->empty() && (*found)[0].is_string()) {
    return (*found)[0].get<std::string>();
  }
  ASSIGN_OR_RETURN(const std::string type, fields.StringOr("model_type", ""));
  if (type == "llama") return "LlamaForCausalLM";
  if (type == "mistral") return "MistralForCausalLM";
  if (type == "qwen2") return "Qwen2ForCausalLM";
  if (type == "qwen3") return "Qwen3ForCausalLM";
  return InvalidConfig(path, "neither 'architectures' nor 'model_type' names the architecture");
}

// Transformers 4 keeps rope_theta beside rope_scaling, Transformers 5 both inside rope_parameters.
absl::Status ReadRope(const Json& root, const Fields& fields, std::string_view path,
                      ModelConfig& config) {
  const char* section = fields.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const Json scaling = fields.Has(section) ? root[section] : Json::object();
  if (!scaling.is_object())
    return InvalidConfig(path, absl::StrCat("'", section, "' must be an object"));
  const Fields rope(scaling, path);
  ASSIGN_OR_RETURN(const double theta, fields.PositiveOr("rope_theta", 10000.0));
  ASSIGN_OR_RETURN(config.rope_theta, rope.PositiveOr("rope_theta", theta));
  ASSIGN_OR_RETURN(const std::string old_type, rope.StringOr("type", "default"));
  ASSIGN_OR_RETURN(const std::string type, rope.StringOr("rope_type", old_type));
  if (type == "default") return absl::OkStatus();
  ASSIGN_OR_RETURN(const double factor, rope.PositiveOr("factor", 1.0));
  if (type == "linear") {
    config.rope_divisors.assign(config.head_dim / 2, static_cast<float>(factor));
    return absl::OkStatus();
  }
  if (type != "llama3") {
    return UnsupportedConfig(
        path, absl::StrCat("RoPE type '", type, "'; default, linear and llama3 are supported"));
  }
  ASSIGN_OR_RETURN(const double low, rope.PositiveOr("low_freq_factor", 1.0));
  ASSIGN_OR_RETURN(const double high, rope.PositiveOr("high_freq_factor", 4.0));
  ASSIGN_OR_RETURN(const double original,
                   rope.PositiveOr("original_max_position_embeddings", 8192.0));
  config.rope_divisors =
      Llama3RopeDivisors(config.head_dim, config.rope_theta, factor, low, high, original);
  return absl::OkStatus();
}

absl::Status ReadFlags(const Fields& fields, std::string_view path, ModelConfig& config) {
  ASSIGN_OR_RETURN(const std::string activation, fields.StringOr("hidden_act", "silu"));
  if (activation != "silu") {
    return UnsupportedConfig(path,
                             absl::StrCat("hidden_act '", activation, "'; silu is supported"));
  }
  ASSIGN_OR_RETURN(const bool attention_bias, fields.BoolOr("attention_bias", false));
  ASSIGN_OR_RETURN(const bool mlp_bias, fields.BoolOr("mlp_bias", false));
  if (attention_bias || mlp_bias) {
    return UnsupportedConfig(path, "attention_bias and mlp_bias must be false");
  }
  // Both families tie unless told otherwise only in small models, and then they say so.
  ASSIGN_OR_RETURN(config.tied_embeddings, fields.BoolOr("tie_word_embeddings", false));
  const bool qwen = config.architecture != Architecture::kLlama;
  config.qkv_bias = config.architecture == Architecture::kQwen2;
  config.qk_norm = config.architecture == Architecture::kQwen3;
  ASSIGN_OR_RETURN(const bool windowed, fields.BoolOr("use_sliding_window", !qwen));
  if (windowed) {
    ASSIGN_OR_RETURN(config.sliding_window, fields.SizeOr("sliding_window", 0, kMaxWidth));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ModelConfig::FromHfJson(std::string_view json, std::string_view path) {
  const Json root = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return InvalidConfig(path, "is not a JSON object");
  const Fields fields(root, path);
  ASSIGN_OR_RETURN(const std::string name, ArchitectureName(root, fields, path));
  ModelConfig config;
  if (name == "Qwen2ForCausalLM") {
    config.architecture = Architecture::kQwen2;
  } else if (name == "Qwen3ForCausalLM") {
    config.architecture = Architecture::kQwen3;
  } else if (name != "LlamaForCausalLM" && name != "MistralForCausalLM") {
    return UnsupportedConfig(path,
                             absl::StrCat("architecture '", name,
                                          "'; LlamaForCausalLM, MistralForCausalLM, "
                                          "Qwen2ForCausalLM and Qwen3ForCausalLM are supported"));
  }
  ASSIGN_OR_RETURN(config.hidden_size, fields.Size("hidden_size", kMaxWidth));
  ASSIGN_OR_RETURN(config.intermediate_size, fields.Size("intermediate_size", kMaxWidth));
  ASSIGN_OR_RETURN(config.layers, fields.Size("num_hidden_layers", kMaxLayers));
  ASSIGN_OR_RETURN(config.heads, fields.Size("num_attention_heads", kMaxHeads));
  ASSIGN_OR_RETURN(config.kv_heads, fields.SizeOr("num_key_value_heads", config.heads, kMaxHeads));
  ASSIGN_OR_RETURN(config.head_dim,
                   fields.SizeOr("head_dim", config.hidden_size / config.heads, kMaxHeadDim));
  ASSIGN_OR_RETURN(config.vocab_size, fields.Size("vocab_size", kMaxWidth));
  ASSIGN_OR_RETURN(config.context_length,
                   fields.SizeOr("max_position_embeddings", 2048, kMaxContext));
  ASSIGN_OR_RETURN(config.rms_norm_eps, fields.PositiveOr("rms_norm_eps", 1e-6));
  if (config.heads % config.kv_heads != 0 || config.head_dim == 0 || config.head_dim % 2 != 0 ||
      config.head_dim > kMaxHeadDim) {
    return InvalidConfig(path, absl::StrCat(config.heads, " heads, ", config.kv_heads,
                                            " key/value heads and head size ", config.head_dim,
                                            " do not fit each other"));
  }
  RETURN_IF_ERROR(ReadFlags(fields, path, config));
  RETURN_IF_ERROR(ReadRope(root, fields, path, config));
  return config;
}

absl::StatusOr<ModelConfig> ModelConfig::FromHfFolder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kHfConfigFile;
  ASSIGN_OR_RETURN(const std::string json, ReadTextFile(path));
  return FromHfJson(json, path.string());
}

}  // namespace crossover::llm
