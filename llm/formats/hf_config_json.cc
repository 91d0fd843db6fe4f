// HfConfigJson and HfGenerationConfigJson: the reverse of hf_config.cc.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/hf_export.h"

namespace crossover::llm {
namespace {

using OrderedJson = nlohmann::ordered_json;

// A number that GGUF keeps in 32 bits, as people wrote it: 1e-05 and not 9.99999974737875e-06.
double Shortest(double value) {
  std::array<char, 32> text{};
  const float narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), narrow).ptr;
  double shortest = value;
  std::from_chars(text.data(), end, shortest);
  return shortest;
}

struct HfNames {
  const char* architecture;
  const char* model_type;
};
HfNames NamesOf(Architecture architecture) {
  switch (architecture) {
    case Architecture::kLlama:
      return {"LlamaForCausalLM", "llama"};
    case Architecture::kQwen2:
      return {"Qwen2ForCausalLM", "qwen2"};
    case Architecture::kQwen3:
      return {"Qwen3ForCausalLM", "qwen3"};
  }
  return {"LlamaForCausalLM", "llama"};  // Unreachable.
}

bool Near(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return std::fabs(x - y) <= 1e-3f * std::fabs(x); });
}

// A GGUF file keeps what the scaling comes to and not its parameters. All published models have
// Llama 3's other three parameters at these values.
absl::StatusOr<OrderedJson> RopeScaling(const ModelConfig& config) {
  const std::vector<float>& divisors = config.rope_divisors;
  if (divisors.empty()) return OrderedJson();
  const double factor = Shortest(divisors.back());
  if (std::all_of(divisors.begin(), divisors.end(),
                  [&](float divisor) { return divisor == divisors.back(); })) {
    return OrderedJson{{"rope_type", "linear"}, {"factor", factor}};
  }
  constexpr double kLow = 1, kHigh = 4;
  for (const double original : {8192.0, 4096.0, 2048.0, 16384.0, 32768.0}) {
    if (!Near(divisors, Llama3RopeDivisors(config.head_dim, config.rope_theta, factor, kLow, kHigh,
                                           original))) {
      continue;
    }
    return OrderedJson{{"rope_type", "llama3"},
                       {"factor", factor},
                       {"low_freq_factor", kLow},
                       {"high_freq_factor", kHigh},
                       {"original_max_position_embeddings", static_cast<int64_t>(original)}};
  }
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
               "the base's rope_freqs are not those of a Llama 3 scaling that config.json could "
               "name; export as GGUF, which keeps them");
}

void PutTokens(const HfTokenIds& tokens, OrderedJson& root) {
  if (tokens.bos) root["bos_token_id"] = *tokens.bos;
  if (tokens.ends.size() == 1) {
    root["eos_token_id"] = tokens.ends.front();
  } else if (!tokens.ends.empty()) {
    root["eos_token_id"] = tokens.ends;
  }
}

}  // namespace

absl::StatusOr<std::string> HfConfigJson(const ModelConfig& config, const HfTokenIds& tokens) {
  const HfNames names = NamesOf(config.architecture);
  ASSIGN_OR_RETURN(const OrderedJson scaling, RopeScaling(config));
  OrderedJson root = {{"architectures", {names.architecture}},
                      {"model_type", names.model_type},
                      {"hidden_size", config.hidden_size},
                      {"intermediate_size", config.intermediate_size},
                      {"num_hidden_layers", config.layers},
                      {"num_attention_heads", config.heads},
                      {"num_key_value_heads", config.kv_heads},
                      {"head_dim", config.head_dim},
                      {"vocab_size", config.vocab_size},
                      {"max_position_embeddings", config.context_length},
                      {"rms_norm_eps", Shortest(config.rms_norm_eps)},
                      {"rope_theta", Shortest(config.rope_theta)},
                      {"rope_scaling", scaling},
                      {"hidden_act", "silu"},
                      {"attention_bias", false},
                      {"mlp_bias", false},
                      {"tie_word_embeddings", config.tied_embeddings},
                      {"torch_dtype", "bfloat16"}};
  if (config.architecture != Architecture::kLlama) {
    root["use_sliding_window"] = config.sliding_window > 0;
  }
  if (config.sliding_window > 0) {
    root["sliding_window"] = config.sliding_window;
    if (config.architecture == Architecture::kLlama) {  // Only Mistral's code has a window.
      root["architectures"] = {"MistralForCausalLM"};
      root["model_type"] = "mistral";
    }
  }
  PutTokens(tokens, root);
  return root.dump(2) + "\n";
}

std::string HfGenerationConfigJson(const HfTokenIds& tokens) {
  OrderedJson root = {{"_from_model_config", true}};
  PutTokens(tokens, root);
  return root.dump(2) + "\n";
}

absl::StatusOr<std::string> MergedHfJson(std::string_view json, const std::string& path,
                                         const HfTokenIds& tokens) {
  OrderedJson root = OrderedJson::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(path, ": is not a JSON object"));
  }
  root.erase("quantization_config");
  for (const char* key : {"torch_dtype", "dtype"}) {
    if (root.contains(key)) root[key] = "bfloat16";
  }
  PutTokens(tokens, root);
  return root.dump(2) + "\n";
}

}  // namespace crossover::llm
